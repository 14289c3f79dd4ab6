import Balancing
import Codecs
import Glibc
import Routing
import Runtime

// How calls end: with the host's answer, with an answer of our own, or with neither.
//
// A status other than 20 makes a 3.x consumer send the request again; status 20 with an RpcException does not. So the choice is
// by meaning: what may succeed on another try gets a status, what cannot gets the exception where the serialization allows it.
extension Worker {
    /// Counts and logs a call that has ended in whatever way, and gives back what it held.
    @inline(__always)
    mutating func end(_ call: UnsafeMutablePointer<Call>, code: Int32) {
        guard let service = call.pointee.service else { return }
        record(
            RequestRecord(
                service: service, kind: .dubbo, wished: call.pointee.asked.wishLabel, served: call.pointee.served,
                code: code, started: call.pointee.started), line: &call.pointee.logLine)
        if call.pointee.isWaiting { stopWaiting(call) }
        wheel.cancel(timer(call))
        leaveProvider(call)
        leaveConsumer(call)
        letGo(call)
        call.pointee.service = nil
        dubbo.calls.put(call)
        finishRequest(of: service)
    }

    @inline(__always)
    private mutating func leaveConsumer(_ call: UnsafeMutablePointer<Call>) {
        guard let consumer = call.pointee.consumer else { return }
        let (previous, next) = (call.pointee.previousOfConsumer, call.pointee.nextOfConsumer)
        if let previous { previous.pointee.nextOfConsumer = next } else { consumer.pointee.firstCall = next }
        next?.pointee.previousOfConsumer = previous
        consumer.pointee.callCount -= 1
        call.pointee.consumer = nil
        // It may have waited for this: to be read from again, or to be closed.
        markDirty(consumer)
    }

    /// Ends the bond between a call and the connection that it was sent on; an answer that still comes is dropped.
    @inline(__always)
    mutating func leaveProvider(_ call: UnsafeMutablePointer<Call>) {
        guard let provider = call.pointee.provider else { return }
        if call.pointee.isTwoWay {
            provider.pointee.calls.remove(call)
        } else {
            provider.pointee.oneWayCalls.remove(call)
        }
        call.pointee.provider = nil
        provider.pointee.endpoint.pointee.active -= 1
        if provider.pointee.calls.first == nil { closeIfDone(provider) }
    }

    // MARK: Answers of our own

    /// Answers with an error that may be gone on another try.
    mutating func answer(_ call: UnsafeMutablePointer<Call>, _ status: UInt8, _ text: String) {
        if let consumer = call.pointee.consumer { sendError(status, call.pointee.consumerID, text, to: consumer) }
        end(call, code: Int32(status))
    }

    /// Answers with an error that another try would only meet again.
    mutating func refuse(_ call: UnsafeMutablePointer<Call>, _ text: String) {
        guard let consumer = call.pointee.consumer, call.pointee.serialization == .hessian2 else {
            return answer(call, Dubbo.Status.serviceNotFound, text)
        }
        let (frame, id) = (output, call.pointee.consumerID)
        var text = text
        let count = text.withUTF8 {
            Dubbo.writeRpcException(
                id: id, code: Dubbo.RpcExceptionCode.noInvokerAvailable, text: $0.baseAddress!, count: $0.count,
                into: frame)
        }
        send(frame, count, to: consumer)
        end(call, code: Int32(Dubbo.Status.serviceNotFound))
    }

    /// No host may or can serve: says for which service and version.
    mutating func answerNoHost(
        _ call: UnsafeMutablePointer<Call>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, _ reason: String
    ) {
        guard let service = call.pointee.service else { return }
        let name = service.pointee.key.name
        if dubbo.exhaustion != 0 {
            let problem = SystemError.text(of: dubbo.exhaustion)
            dubbo.exhaustion = 0
            return answer(
                call, Dubbo.Status.serverError,
                "greymesh: no connection to a host of service \(name) can be opened from here: \(problem)")
        }
        if call.pointee.tried.count > 0 {
            let hosts = call.pointee.tried.count == 1 ? "1 host" : "\(call.pointee.tried.count) hosts"
            return answer(
                call, Dubbo.Status.serverError,
                "greymesh: service \(name) could not be reached, \(hosts) tried" + (reason.isEmpty ? "" : ": " + reason)
            )
        }
        refuse(call, "greymesh: no usable host of service \(name)" + describe(call, service, frame, count))
    }

    /// What the call wants, in words.
    private mutating func describe(
        _ call: UnsafeMutablePointer<Call>, _ service: UnsafeMutablePointer<Service>,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> String {
        let body = frame + Dubbo.headSize
        let result = Dubbo.parseInvocation(
            body, count: count - Dubbo.headSize, call.pointee.serialization, &dubbo.scratch, into: &dubbo.invocation)
        var text = ""
        switch wantedTarget(service, call.pointee.asked) {
        case .version(let label) where label >= 0: text += " in version \(service.pointee.labels[label].text)"
        case .version: text += " in version \(wishedText(body))"
        case .own, .any, .nothing: break
        }
        if result != .parsed { return text }
        let version = self.text(dubbo.invocation.version, body)
        let group = self.text(dubbo.invocation.group, body)
        text += " for interface version \(version.isEmpty ? "0.0.0" : version)"
        return text + (group.isEmpty ? " without group" : " and group \(group)")
    }

    private func wishedText(_ body: UnsafeMutablePointer<UInt8>) -> String {
        for index in 0..<settings.wishCount {
            let name = settings.wishNames[index]
            guard let range = Dubbo.attachment(named: name.base, count: name.count, in: body, dubbo.scratch) else {
                continue
            }
            let wish = text(range, body)
            if !wish.isEmpty && wish != "0.0.0" && wish != "*" { return wish }
        }
        return "asked for"
    }

    private func text(_ range: ByteRange, _ body: UnsafeMutablePointer<UInt8>) -> String {
        ByteString(base: body + Int(range.start), count: Int(range.count)).text
    }

    // MARK: Time

    /// Whether nobody waits for the answer any longer: the request is not to be sent any more.
    @inline(__always)
    func isOverdue(_ call: UnsafeMutablePointer<Call>) -> Bool { now >= call.pointee.started + call.pointee.patience }

    /// The registries or the host have not answered in time.
    mutating func callTimeout(_ call: UnsafeMutablePointer<Call>) {
        guard let service = call.pointee.service else { return }
        guard let provider = call.pointee.provider else {
            let name = service.pointee.key.name
            let text = "greymesh: the registries have not answered in time about service \(name)"
            if !isOverdue(call) { return answer(call, Dubbo.Status.serverError, text) }
            let milliseconds = call.pointee.patience / 1_000_000
            return answer(call, Dubbo.Status.serverTimeout, text + ": the call waits \(milliseconds) ms")
        }
        let host = provider.pointee.endpoint.pointee.address.description
        if provider.pointee.phase == .ready || provider.pointee.phase == .readonly { noteTimeout(call, provider) }
        if call.pointee.position >= provider.pointee.sent { expire(call, provider) }
        answer(
            call, Dubbo.Status.serverTimeout,
            "greymesh: \(host) did not answer within \(call.pointee.patience / 1_000_000) ms")
    }

    private mutating func noteTimeout(_ call: UnsafeMutablePointer<Call>, _ provider: UnsafeMutablePointer<Provider>) {
        let endpoint = provider.pointee.endpoint
        let wasHeard = provider.pointee.progress.heardAt >= call.pointee.started
        if !wasHeard || provider.pointee.isWithinFrame { probe(provider) }
        if endpoint.pointee.noteTimeout(started: call.pointee.started, now: now) {
            let pause = (endpoint.pointee.retryAt - now) / 1_000_000
            let reason = "several calls in a row without an answer in time"
            note(.hostFailed(address: endpoint.pointee.address, reason: reason, pauseMilliseconds: pause))
        }
    }

    // MARK: Another try

    /// A host that was asked will not answer. Another one is, when nothing of the request was handed to this one.
    mutating func takeBack(
        _ call: UnsafeMutablePointer<Call>, _ provider: UnsafeMutablePointer<Provider>, _ reason: String
    ) {
        let endpoint = provider.pointee.endpoint
        let host = endpoint.pointee.address.description
        guard call.pointee.position >= provider.pointee.sent else {
            leaveProvider(call)
            return answer(
                call, Dubbo.Status.serverError,
                "greymesh: the connection to \(host) closed while the call waited for its answer: \(reason)")
        }
        if isOverdue(call) {
            leaveProvider(call)
            return answer(
                call, Dubbo.Status.serverTimeout,
                "greymesh: \(host) did not take the call within \(call.pointee.patience / 1_000_000) ms: \(reason)")
        }
        if call.pointee.frame.isEmpty { recover(call, provider) }
        leaveProvider(call)
        call.pointee.tried.insert(endpoint)
        let (frame, count) = (call.pointee.frame.bytes, call.pointee.frame.count)
        if !attempt(call, frame, count, isParsed: false) { answerNoHost(call, frame, count, "\(host): \(reason)") }
    }

    /// Copies a request that was not kept out of the stream that it did not leave.
    private mutating func recover(_ call: UnsafeMutablePointer<Call>, _ provider: UnsafeMutablePointer<Provider>) {
        let offset = Int(call.pointee.position &- provider.pointee.sent)
        let count = Int(call.pointee.end &- call.pointee.position)
        hold(call, provider.pointee.outbound.bytes + offset, count)
        Dubbo.takeRoundBack(call.pointee.frame.bytes)
        call.pointee.frameVersion = call.pointee.sentVersion
    }

    /// Whether an answer says that the call was not executed and another host has it now.
    mutating func sendElsewhere(
        _ call: UnsafeMutablePointer<Call>, _ provider: UnsafeMutablePointer<Provider>, _ head: Dubbo.FrameHead,
        _ body: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        if call.pointee.frame.isEmpty || call.pointee.tried.count + 1 >= Self.mostAttempts || isOverdue(call) {
            return false
        }
        if head.status == Dubbo.Status.threadPoolExhausted {
            // Hosts that have too much to do are not to get the same call from one another for long.
            if call.pointee.tried.count > 0 { return false }
        } else if !Dubbo.refusesService(body, count: head.bodyLength, status: head.status, head.serialization) {
            return false
        }
        call.pointee.tried.insert(provider.pointee.endpoint)
        leaveProvider(call)
        return attempt(call, call.pointee.frame.bytes, call.pointee.frame.count, isParsed: false)
    }
}
