/// What a service's name looks like.
public enum ServiceName {
    /// Whether it can be the name of a Java interface.
    public static func isJavaName(_ name: some StringProtocol) -> Bool {
        name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.first, !first.isNumber else { return false }
            return part.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "$" }
        }
    }

    /// What a name is most likely meant as where nothing is known about it: `com.acme.OrderService` is an interface.
    public static func likelyProtocol(_ name: String) -> ListenerProtocol {
        let parts = name.split(separator: ".")
        return parts.count > 1 && isJavaName(name) && parts.last?.first?.isUppercase == true ? .dubbo : .http
    }
}
