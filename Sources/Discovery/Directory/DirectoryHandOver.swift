// One process serves in another one's place: which of them writes what is kept for the next start.
extension ServiceDirectory {
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
