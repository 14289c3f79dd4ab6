import Model

// One process serves in another one's place: whether it would know the same hosts, and which of them writes what is kept for the
// next start.
extension ServiceDirectory {
    /// Why another process that asks the registries now would not learn of hosts that this one uses; nil: it would.
    public var upgradeObstacle: String? {
        views.lazy.compactMap(\.upgradeObstacle).first
    }

    /// The URL of a registry that is away and has told this process nothing about a service; nil: there is none.
    public func silentRegistry(about key: ServiceKey) -> String? {
        views.first { $0.isSilent(about: key) }?.registry.url
    }

    /// Another process still writes the files of saved hosts, until `takeOverSavedHosts`.
    public func holdSavedHosts() { for view in views { view.savedHosts?.hold() } }

    /// This process writes them from now on.
    public func takeOverSavedHosts() { for view in views { view.savedHosts?.takeOver() } }

    /// Another process writes the files from now on, and does what is left to do for registrations. Services are watched on.
    public func leaveToSuccessor() {
        for view in views {
            view.savedHosts?.leave()
            (view.registry as? any Registrar)?.leaveRegistrations()
        }
    }
}
