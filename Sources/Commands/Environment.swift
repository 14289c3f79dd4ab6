import Configuration

/// Environment variables that begin with `GREYMESH_`.
enum Environment {
    /// Several values of a flag in one variable.
    static func values(_ text: String, of flag: Flag) -> [String] {
        if flag.name == "registry" { return registries(text) }
        if flag.name == "register" { return registrations(text) }
        return text.split { $0.isWhitespace || $0 == "," }.map(String.init)
    }

    /// Several registry URLs in one variable, separated by blanks or commas. A comma also stands between the servers of one
    /// URL: only what begins with a scheme is the next registry.
    static func registries(_ text: String) -> [String] {
        var urls: [String] = []
        for word in text.split(whereSeparator: \.isWhitespace) {
            var isFirst = true
            for piece in word.split(separator: ",") {
                if isFirst || piece.contains("://") || piece.hasPrefix("file:") {
                    urls.append(String(piece))
                } else {
                    urls[urls.count - 1] += ",\(piece)"
                }
                isFirst = false
            }
        }
        return urls
    }

    /// Several registrations in one variable, separated by blanks or commas. A comma also stands within a parameter's value
    /// (`registry=consul,etcd`): behind the parameters of one only what says SERVICE@ is the next one.
    static func registrations(_ text: String) -> [String] {
        var found: [String] = []
        for word in text.split(whereSeparator: \.isWhitespace) {
            var isWithinParameters = false
            for piece in word.split(separator: ",") {
                if isWithinParameters, !beginsRegistration(piece) {
                    found[found.count - 1] += ",\(piece)"
                } else {
                    found.append(String(piece))
                    isWithinParameters = piece.contains("?")
                }
            }
        }
        return found
    }

    /// `SERVICE@…`, and neither `NAME=VALUE` nor the URL of a registry.
    private static func beginsRegistration(_ piece: Substring) -> Bool {
        guard let sign = piece.firstIndex(of: "@") else { return false }
        if let scheme = piece.firstRange(of: "://").map({ piece[..<$0.lowerBound] }),
            RegistryURL.Scheme(rawValue: String(scheme)) != nil
        {
            return false
        }
        return !piece[..<sign].contains(where: "=&?".contains)
    }

    /// A line for each variable that looks like ours and is not, in alphabetical order.
    static func warnings(_ environment: [String: String]) -> [String] {
        let known = Set(Verb.allCases.flatMap(\.flags).compactMap(\.variable))
        let prefix = Flag.variablePrefix
        let suffixes = known.sorted().map { String($0.dropFirst(prefix.count)) }
        return environment.keys.filter { $0.hasPrefix(prefix) && !known.contains($0) }.sorted().map { name in
            let near = NearestName.to(String(name.dropFirst(prefix.count)), among: suffixes)
            return "the environment variable \(name) is not known and ignored"
                + (near.map { "; did you mean \(prefix)\($0)?" } ?? "")
        }
    }
}
