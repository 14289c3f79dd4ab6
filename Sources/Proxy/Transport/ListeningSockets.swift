import Runtime

// What is watched and has no link: listening sockets and the mailbox.
extension Worker {
    func watchInbox() {
        system.watch(inbox.descriptor, .readable, token: Token.mailbox.rawValue)
    }

    func watchListener(_ number: Int) {
        system.watch(listeners[number].descriptor, .readable, token: Token(listener: number).rawValue)
    }

    func unwatchListener(_ number: Int) { system.unwatch(listeners[number].descriptor) }

    /// Takes one connection that waits; peers that vanish later are found out. A negative descriptor is the error.
    func accept(_ number: Int) -> (descriptor: Int32, peer: SocketAddress) {
        let accepted = system.accept(listeners[number].descriptor)
        if accepted.descriptor >= 0 { system.keepAlive(accepted.descriptor) }
        return accepted
    }

    mutating func closeListener(_ number: Int) {
        // Where another process has the socket as well, closing alone would leave it watched.
        system.unwatch(listeners[number].descriptor)
        system.close(listeners[number].descriptor)
        listeners[number].descriptor = -1
    }
}
