// How steps are carried out.
extension World {
    func performAll(from first: (index: Int, step: Step)) {
        perform(first.index, first.step.action)
        while inquiry == nil, let step = script.together() {
            if let end = stoppedUntil, end > now {
                goOnWithoutWorker(until: now + Int64(kernel.random.below(UInt64(end - now))))
            }
            perform(step.index, step.step.action)
        }
        guard let end = stoppedUntil else { return }
        goOnWithoutWorker(until: end)
        stoppedUntil = nil
        resumedAt = now
        kernel.isInterrupted = kernel.random.below(2) == 0
    }

    /// The worker stands still, and what is performed together with this happens meanwhile.
    private func stop(for time: Int64) {
        stoppedUntil = max(stoppedUntil ?? 0, now) + time
        stoppedTime += time
        for request in requests.values where request.headSentAt != nil { request.lostTime += time }
    }

    private func perform(_ index: Int, _ action: Action) {
        kernel.trace?("-- \(index) \(action)")
        switch action {
        case .open(let client, let door): addClient(client, door)
        case .request(let client, let plan): send(index, plan, by: client)
        case .release(let client): clients[client]?.release()
        case .halfClose(let client): clients[client]?.halfClose()
        case .close(let client): clients[client]?.leaveNow(asReset: false)
        case .reset(let client): clients[client]?.leaveNow(asReset: true)
        case .pause(let client):
            clients[client]?.isPaused = true
            for request in requests.values where request.client == client && request.isOpen { request.wasPaused = true }
        case .resume(let client): clients[client]?.isPaused = false
        case .garbage(let client): clients[client]?.sendGarbage()
        case .ping(let client): clients[client]?.sendPing()
        case .refuse, .accept, .crash, .hang, .closeIdle, .readonly, .writeable, .heartbeat, .chatter:
            performAtHost(action)
        case .list(let service, let listing): list(service, listing)
        case .remove(let service):
            // Removing is without effect while a configuration names the service.
            if listings[service].last != nil && !isPinned(service) { list(service, nil) }
        case .routes(let routes): post(routes)
        case .report: post(.report(id: UInt64(index)))
        case .inquire(let plan): inquire(index, plan)
        case .drain: drain()
        case .upgrade: wishUpgrade()
        case .failConnects(let count, let code):
            shortages.append(now)
            kernel.connectFailures += Array(repeating: code, count: count)
        case .failAccepts(let count, let code):
            shortages.append(now)
            kernel.acceptFailures += Array(repeating: code, count: count)
        case .time(let milliseconds): script.timeEnd = now + Int64(milliseconds) * 1_000_000
        case .freeze(let milliseconds): stop(for: Int64(milliseconds) * 1_000_000)
        }
    }

    private func send(_ number: Int, _ plan: RequestPlan, by client: Int) {
        let request = Request(number: number, plan: plan, client: client)
        requests[number] = request
        guard let sender = clients[client], !sender.isClosed else { return }
        if sender.isPaused { request.wasPaused = true }
        sender.send(request)
    }

    private func performAtHost(_ action: Action) {
        switch action {
        case .refuse(let number): setMode(.refusing, number, .refused)
        case .accept(let number): setMode(.up, number, [])
        case .hang(let number): setMode(.hanging, number, .broken)
        case .crash(let number):
            setMode(.refusing, number, .broken)
            for connection in hosts[number].connections { connection.close(asReset: true) }
        case .closeIdle(let number):
            for connection in hosts[number].connections where connection.isIdle && !connection.isFrozen {
                // Something is on its way to it, or will be: that is lost.
                if connection.socket.hasNews || connection.readCount == 0 { hosts[number].spoil(.broken) }
                connection.close()
            }
        case .readonly(let number):
            if connections(number).isEmpty { return }
            hosts[number].spoil(.broken)
            for connection in connections(number) { connection.sendReadonly(true) }
        case .writeable(let number): for connection in connections(number) { connection.sendReadonly(false) }
        case .heartbeat(let number): for connection in connections(number) { connection.sendHeartbeat() }
        case .chatter(let number, let kind):
            for connection in hosts[number].connections where !connection.isClosed { connection.chatter(kind) }
        default: break
        }
    }

    private func connections(_ number: Int) -> [FramedHostConnection] {
        hosts[number].connections.compactMap { $0 as? FramedHostConnection }.filter { !$0.isClosed }
    }

    func setMode(_ mode: Host.Mode, _ number: Int, _ fault: Host.Faults) {
        let host = hosts[number]
        host.mode = mode
        host.spoil(fault)
        for connection in host.connections { connection.isFrozen = mode == .hanging }
    }
}
