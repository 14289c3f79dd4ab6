import Configuration

extension RegistryConfiguration {
    /// Creates the adapter for this address.
    ///
    /// - Throws: `InvalidValue` where the address cannot be used; its words hold no password.
    public func makeRegistry(_ context: DiscoveryContext, reports: RegistryReports) throws(InvalidValue) -> any Registry
    {
        let address = try RegistryURL(url)
        let context = try tls.map { tls throws(InvalidValue) in try context.over(tls) } ?? context
        switch address.scheme {
        case .nacos:
            guard ["on", "off"].contains(address.parameters["push"] ?? "on") else {
                throw InvalidValue("the parameter \"push\" of a nacos URL is on or off")
            }
            return NacosRegistry(
                NacosSettings(address, poll: poll), url: address.description, context: context, reports: reports)
        case .zookeeper:
            return ZooKeeperRegistry(
                try ZooKeeperSettings(address), url: address.description, context: context, reports: reports)
        case .consul:
            return try ConsulRegistry(
                ConsulSettings(address, poll: poll), url: address.description, context: context, reports: reports)
        case .eureka:
            return EurekaRegistry(
                try EurekaSettings(address, poll: poll), url: address.description, context: context, reports: reports)
        case .etcd:
            return EtcdRegistry(
                try EtcdSettings(address), url: address.description, context: context, reports: reports)
        case .file:
            return FileRegistry(path: address.path, url: address.description, context: context, reports: reports)
        }
    }
}

extension RegistryConfiguration {
    /// Whether it is a file on this machine.
    var isFile: Bool { (try? RegistryURL(url))?.scheme == .file }

    /// When an answer of this registry is believed that takes hosts away.
    var answerLimits: AnswerLimits {
        var limits = AnswerLimits()
        // What a person writes into a file is meant.
        limits.confirmTime = isFile ? .zero : confirm
        limits.settleTime = isFile ? .zero : settle
        return limits
    }
}
