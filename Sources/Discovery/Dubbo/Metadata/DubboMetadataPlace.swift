import Runtime

/// Where an instance can be asked what its application offers, and in which way.
struct DubboMetadataPlace: Hashable {
    /// A service that tells it, and how it is called.
    enum Way: Hashable {
        /// `MetadataService` over the dubbo protocol.
        case dubbo
        /// `MetadataService` over Triple: arguments and answer in Hessian2, wrapped in protobuf.
        case tripleHessian
        /// `MetadataServiceV2` over Triple, in protobuf: since Dubbo 3.3, where the application has protobuf.
        case triple
    }

    let way: Way
    let host: HostPort
}

extension DubboMetadataPlace {
    /// Reads an instance's metadata; nil where it cannot be asked.
    ///
    /// `{"port":"20880","protocol":"dubbo","version":"1.0.0",…}`, of the service; since 3.3 `meta-v` says which one is there.
    init?(host: String, metadata: [String: String]) {
        guard let parameters = metadata["dubbo.metadata-service.url-params"] else { return nil }
        let text = Array(parameters.utf8)
        guard let members = JSONText.object(text) else { return nil }
        func parameter(_ name: StaticString) -> String? { members[name].flatMap { JSONText.label(text, $0) } }
        guard let port = parameter("port").flatMap({ UInt16($0) }), port > 0 else { return nil }
        let version = parameter("version") ?? "1.0.0"
        switch (parameter("protocol") ?? "dubbo", version, metadata["meta-v"] ?? version) {
        case ("dubbo", "1.0.0", "1.0.0"): way = .dubbo
        case ("tri", "1.0.0", "1.0.0"): way = .tripleHessian
        // Dubbo goes by `meta-v` where the two disagree.
        case ("tri", _, "2.0.0"): way = .triple
        default: return nil
        }
        self.host = HostPort(host: HostText.bare(host), port: port)
    }
}
