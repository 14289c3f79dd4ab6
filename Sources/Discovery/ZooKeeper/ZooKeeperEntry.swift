import Runtime

/// An application that is to be registered in ZooKeeper, and how far that has come.
final class ZooKeeperEntry {
    var registration: Registration
    /// Milliseconds since 1970.
    let startedAt: Int64
    /// Tells instances of an application apart.
    let id: String
    let watch: UInt64
    /// Where it stands, and what is written there.
    private(set) var path = ""
    private(set) var data: [UInt8] = []
    /// What was written last.
    var written: [UInt8]?
    /// Nodes of former content that are to be deleted when the present one is there.
    var former: Set<String> = []
    var isWorking = false
    /// Something has happened since work began.
    var isStale = false
    var isConfirmed = false
    var failure: String?
    var backoff = Backoff(first: .milliseconds(500), cap: .seconds(10))
    var timer: EventLoop.Timer?
    /// It is to be taken out.
    var withdrawal: Withdrawal?

    init(_ registration: Registration, startedAt: Int64, watch: UInt64) {
        self.registration = registration
        self.startedAt = startedAt
        self.watch = watch
        id = Self.newID()
    }

    /// All nodes that may be there.
    var paths: Set<String> { former.union([path]) }

    /// Fills in where and how it stands.
    func compose(_ settings: ZooKeeperSettings) {
        let name = registration.service.name
        switch registration.service.kind {
        case .dubbo:
            let url = registration.dubboURL(startedAt: startedAt)
            path =
                "\(settings.chroot)\(settings.root)/\(PercentEncoding.encode(name))/providers/\(PercentEncoding.encode(url))"
            // Dubbo writes the registrant's address; nobody reads it.
            data = Array(registration.host.utf8)
        case .http:
            path = "\(settings.chroot)\(settings.services)/\(name)/\(id)"
            data = instance.springData(registeredAt: startedAt)
        case .bolt:
            let url = registration.sofaURL(startedAt: startedAt)
            path = "\(settings.chroot)/sofa-rpc/\(name)/providers/\(PercentEncoding.encode(url))"
            data = [1]
        }
        former.remove(path)
    }

    private var instance: CuratorInstance {
        var metadata = registration.metadata
        metadata["instance_status"] = metadata["instance_status"] ?? "UP"
        if registration.weight != 1 { metadata["weight"] = registration.springWeight }
        return CuratorInstance(
            name: registration.service.name, id: id, host: registration.host, port: registration.port,
            metadata: metadata)
    }

    private static func newID() -> String {
        var bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        let digits = bytes.map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined()
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text += "-" }
            text.append(digit)
        }
        return text
    }
}

extension Registration {
    /// Spring Cloud's weight is an integer, and 1 is normal; a fraction is kept for those who can read it.
    fileprivate var springWeight: String {
        weight == weight.rounded() && abs(weight) < 1_000_000 ? String(Int(weight)) : String(weight)
    }

    /// The URL by which SOFA RPC's consumers know a provider.
    fileprivate func sofaURL(startedAt: Int64) -> String {
        var parameters = metadata.filter { !$0.key.isEmpty && !$0.value.isEmpty }
        parameters["appName"] = parameters.removeValue(forKey: "application") ?? service.name
        parameters["uniqueId"] = group
        if !interfaceVersion.isEmpty { parameters[SofaProvider.interfaceVersion] = interfaceVersion }
        parameters["interface"] = service.name
        parameters["startTime"] = String(startedAt)
        parameters["weight"] = String(dubboWeight)
        parameters["protocol"] = "bolt"
        parameters["serialization"] = parameters["serialization"] ?? "hessian2"
        let query = parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "&")
        return "bolt://\(host):\(port)?version=1.0&\(query)"
    }
}
