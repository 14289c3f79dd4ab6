import Configuration

extension RegistryConfiguration {
    /// Creates the adapter for this address.
    ///
    /// - Throws: `InvalidValue` where the address cannot be used; its words hold no password.
    public func makeRegistry(_ context: DiscoveryContext, reports: RegistryReports) throws(InvalidValue) -> any Registry
    {
        let address = try RegistryURL(url)
        switch address.scheme {
        case .nacos:
            return NacosRegistry(
                NacosSettings(address, poll: poll), url: address.description, context: context, reports: reports)
        case .file:
            return FileRegistry(path: address.path, url: address.description, context: context, reports: reports)
        }
    }
}
