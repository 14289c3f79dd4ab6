import Balancing
import Codecs
import Glibc
import Routing
import Runtime

// A call's way to a host: body, service, version, host, connection.
extension Worker {
    /// Takes a request. `frame` is whole, and may be changed.
    @inline(__always)
    mutating func beginCall(
        _ consumer: UnsafeMutablePointer<Consumer>, _ head: Dubbo.FrameHead, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        let result = Dubbo.parseInvocation(
            frame + Dubbo.headSize, count: head.bodyLength, head.serialization, &dubbo.scratch, into: &dubbo.invocation)
        if dubbo.invocation.hasUnusualTexts { return beginPlainCall(consumer, head, frame) }
        beginCall(consumer, head, frame, result)
    }

    /// Texts in several pieces or another encoding are what they say all the same: the request is written anew with plain ones.
    private mutating func beginPlainCall(
        _ consumer: UnsafeMutablePointer<Consumer>, _ head: Dubbo.FrameHead, _ frame: UnsafeMutablePointer<UInt8>
    ) {
        var plain = Buffer()
        buffers.reserve(Dubbo.plainBound(frameCount: head.frameLength), in: &plain)
        let count = Dubbo.writePlainTexts(frame: frame, count: head.frameLength, &dubbo.scratch, into: plain.tail)
        plain.filled(count)
        var head = head
        var result = Dubbo.InvocationResult.malformed
        if count > 0 {
            head.bodyLength = count - Dubbo.headSize
            result = Dubbo.parseInvocation(
                plain.bytes + Dubbo.headSize, count: head.bodyLength, head.serialization, &dubbo.scratch,
                into: &dubbo.invocation)
        }
        beginCall(consumer, head, count > 0 ? plain.bytes : frame, result)
        buffers.release(&plain)
    }

    /// The body was parsed last.
    private mutating func beginCall(
        _ consumer: UnsafeMutablePointer<Consumer>, _ head: Dubbo.FrameHead, _ frame: UnsafeMutablePointer<UInt8>,
        _ result: Dubbo.InvocationResult
    ) {
        let body = frame + Dubbo.headSize
        guard let service = calledService(result, body, listener: consumer.pointee.listener) else {
            return refuse(consumer, head, result, body)
        }
        let call = dubbo.calls.take()
        call.pointee.service = service
        call.pointee.consumerID = head.id
        call.pointee.serialization = head.serialization
        call.pointee.isTwoWay = head.isTwoWay
        call.pointee.started = now
        if head.isTwoWay { link(call, to: consumer) }
        service.pointee.usedAt = now
        service.pointee.active += 1
        if accessLog != nil { beginLogLine(call, consumer, body) }
        if Dubbo.rounds(frame) >= Dubbo.mostRounds { return refuseRound(call, service) }
        if service.pointee.state == .ready || becomesReady(service) {
            ask(call, service, body, consumer.peerText)
            start(call, service)
            dispatch(call, frame, head.frameLength)
        } else {
            park(call, service, frame, head.frameLength)
        }
    }

    @inline(__always)
    private func link(_ call: UnsafeMutablePointer<Call>, to consumer: UnsafeMutablePointer<Consumer>) {
        call.pointee.consumer = consumer
        call.pointee.nextOfConsumer = consumer.pointee.firstCall
        consumer.pointee.firstCall?.pointee.previousOfConsumer = call
        consumer.pointee.firstCall = call
        consumer.pointee.callCount += 1
    }

    /// Hosts lead back to where the call has been.
    private mutating func refuseRound(_ call: UnsafeMutablePointer<Call>, _ service: UnsafeMutablePointer<Service>) {
        refuse(
            call,
            "greymesh: a call of service \(service.pointee.key.name) has come through \(Dubbo.mostRounds) Greymeshes and goes no "
                + "further: hosts of it lead back to one of them")
    }

    // MARK: Service

    @inline(__always)
    private func bytes(_ range: ByteRange, _ body: UnsafePointer<UInt8>) -> ByteString {
        ByteString(base: body + Int(range.start), count: Int(range.count))
    }

    @inline(__always)
    private mutating func calledService(
        _ result: Dubbo.InvocationResult, _ body: UnsafeMutablePointer<UInt8>, listener: Int32
    ) -> UnsafeMutablePointer<Service>? {
        if let application = listeners[Int(listener)].application {
            return result == .malformed ? nil : application
        }
        switch result {
        case .parsed:
            let name = bytes(dubbo.invocation.interface, body)
            if let service = tables.known.dubbo.find(name) { return service }
            return InterfaceName.isPlausible(name) ? demandService(.dubbo, name) : nil
        case .opaque: return onlyService()
        case .malformed: return nil
        }
    }

    /// The service that a body can only mean when there is no other; for serializations that are not understood.
    private func onlyService() -> UnsafeMutablePointer<Service>? {
        if tables.known.dubbo.count != 1 { return nil }
        var only: UnsafeMutablePointer<Service>?
        tables.known.dubbo.forEach { _, service in only = service }
        return only
    }

    /// No service is meant that could be called.
    private mutating func refuse(
        _ consumer: UnsafeMutablePointer<Consumer>, _ head: Dubbo.FrameHead, _ result: Dubbo.InvocationResult,
        _ body: UnsafeMutablePointer<UInt8>
    ) {
        let text: String
        switch result {
        case .malformed:
            text =
                dubbo.invocation.attachmentsOverflow
                ? "greymesh: the request has more than \(Dubbo.Scratch.maximumAttachments) attachments"
                : "greymesh: the request's body is malformed (serialization \(head.serialization.id))"
            noteBadInput(consumer, text)
        case .opaque:
            text =
                "greymesh: serialization \(head.serialization.id) does not show which service is called, and "
                + "\(tables.known.dubbo.count) are known; hessian2 and fastjson2 do"
        case .parsed:
            let name = bytes(dubbo.invocation.interface, body)
            text =
                InterfaceName.isPlausible(name)
                ? "greymesh: too many names are asked for that no registry lists, \(name.text) is one more"
                : "greymesh: the request names no service: the name is empty, too long, not UTF-8 or not an interface's"
        }
        if head.isTwoWay { sendError(Dubbo.Status.badRequest, head.id, text, to: consumer) }
        recordRefused(consumer, result == .malformed ? nil : body, status: Dubbo.Status.badRequest)
    }

    // MARK: What the call asks for

    /// Reads wish, group, interface version, sticky key and deadline from the body that was parsed last.
    @inline(__always)
    mutating func ask(
        _ call: UnsafeMutablePointer<Call>, _ service: UnsafeMutablePointer<Service>, _ body: UnsafePointer<UInt8>,
        _ peer: ByteString
    ) {
        readPatience(call, service)
        var asked = Asked()
        if dubbo.invocation.attachmentForm == .unknown || service.pointee.takesAll {
            // Nothing can be read, or nothing of it matters: any interface version will do.
            asked.isDubbo = true
            asked.interfaceVersion = CallView.anyInterfaceVersion
        } else {
            identify(
                &asked, group: bytes(dubbo.invocation.group, body),
                interfaceVersion: bytes(dubbo.invocation.version, body), of: service)
            asked.wish = wish(body, service)
        }
        if asked.wish == .none && service.pointee.rules.shareCount > 0 {
            drawChance(&asked, stickyKey: stickyKey(service, body, peer), of: service)
        }
        call.pointee.asked = asked
        // What goes to the application behind a listener is never rewritten: there it is as if it had the host's version.
        call.pointee.frameVersion = service.pointee.takesAll ? 0 : asked.interfaceVersion
    }

    @inline(__always)
    func readPatience(_ call: UnsafeMutablePointer<Call>, _ service: UnsafeMutablePointer<Service>) {
        let milliseconds = Int64(dubbo.invocation.timeoutMilliseconds)
        call.pointee.patience = milliseconds > 0 ? milliseconds * 1_000_000 : service.pointee.timeout
    }

    @inline(__always)
    private func wish(_ body: UnsafePointer<UInt8>, _ service: UnsafeMutablePointer<Service>) -> Wish {
        for index in 0..<settings.wishCount {
            guard let value = attachment(settings.wishNames[index], body), !InterfaceName.isAnyVersion(value) else {
                continue
            }
            let wish = wish(value, of: service)
            if wish != .none { return wish }
        }
        return .none
    }

    @inline(__always)
    private func attachment(_ name: ByteString, _ body: UnsafePointer<UInt8>) -> ByteString? {
        guard let range = Dubbo.attachment(named: name.base, count: name.count, in: body, dubbo.scratch) else {
            return nil
        }
        return bytes(range, body)
    }

    private func stickyKey(
        _ service: UnsafeMutablePointer<Service>, _ body: UnsafePointer<UInt8>, _ peer: ByteString
    ) -> ByteString {
        let none = ByteString(base: body, count: 0)
        switch service.pointee.sticky {
        case .clientAddress: return peer
        case .header: return attachment(service.pointee.stickyName, body) ?? none
        case nil: return none
        }
    }

    // MARK: Version, host and connection

    /// From now on the call has its own deadline.
    @inline(__always)
    mutating func start(_ call: UnsafeMutablePointer<Call>, _ service: UnsafeMutablePointer<Service>) {
        wheel.set(timer(call), deadline: call.pointee.started + call.pointee.patience)
    }

    /// The first attempt; the body was parsed last.
    @inline(__always)
    mutating func dispatch(
        _ call: UnsafeMutablePointer<Call>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int
    ) {
        if attempt(call, frame, count, isParsed: true) { return }
        answerNoHost(call, frame, count, "")
    }

    /// Sends the request to a host: the first time, or again. False: no host may or can serve.
    @inline(__always)
    mutating func attempt(
        _ call: UnsafeMutablePointer<Call>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, isParsed: Bool
    ) -> Bool {
        guard let service = call.pointee.service else { return false }
        while call.pointee.tried.count < Self.mostAttempts {
            guard let choice = choose(service, call.pointee.asked, tried: call.pointee.tried) else { return false }
            let endpoint = choice.member.pointee.endpoint
            if let provider = provider(of: endpoint) {
                endpoint.pointee.take(now: now, patience: settings.limits.connectTimeout)
                call.pointee.served = choice.cluster.pointee.version
                call.pointee.sentVersion = Int(choice.cluster.pointee.interfaceVersion)
                enqueue(call, provider, frame, count, isParsed: isParsed)
                if call.pointee.tried.count > 0 { dubbo.exhaustion = 0 }
                return true
            }
            call.pointee.tried.insert(endpoint)
        }
        return false
    }

    @inline(__always)
    private mutating func enqueue(
        _ call: UnsafeMutablePointer<Call>, _ provider: UnsafeMutablePointer<Provider>,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, isParsed: Bool
    ) {
        let offset = provider.pointee.outbound.count
        if call.pointee.sentVersion == call.pointee.frameVersion
            || !appendRewritten(call, provider, frame, count, isParsed: isParsed)
        {
            buffers.append(frame, count: count, to: &provider.pointee.outbound)
        }
        Dubbo.writeID(call.pointee.providerID, provider.pointee.outbound.bytes + offset)
        Dubbo.noteRound(provider.pointee.outbound.bytes + offset)
        call.pointee.position = provider.pointee.queued
        provider.pointee.queued &+= UInt64(provider.pointee.outbound.count - offset)
        call.pointee.end = provider.pointee.queued
        call.pointee.provider = provider
        if call.pointee.isTwoWay {
            provider.pointee.calls.append(call)
            if call.pointee.frame.isEmpty && count <= DubboBounds.replayedFrame
                && dubbo.heldBytes + count <= DubboBounds.heldBytes
            {
                hold(call, frame, count)
            }
        } else {
            provider.pointee.oneWayCalls.append(call)
            letGo(call)
        }
        markDirty(provider)
    }

    /// Puts the request into the connection's stream with the interface version of the host that was chosen. False: this cannot
    /// be done to it, it is to be sent as it is.
    private mutating func appendRewritten(
        _ call: UnsafeMutablePointer<Call>, _ provider: UnsafeMutablePointer<Provider>,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, isParsed: Bool
    ) -> Bool {
        guard let service = call.pointee.service else { return false }
        if !isParsed {
            _ = Dubbo.parseInvocation(
                frame + Dubbo.headSize, count: count - Dubbo.headSize, call.pointee.serialization, &dubbo.scratch,
                into: &dubbo.invocation)
        }
        let label = service.pointee.labels[call.pointee.sentVersion]
        let version = label.count == 0 ? settings.noVersion : label
        let bound = Dubbo.rewrittenBound(frameCount: count, versionCount: version.count)
        buffers.reserve(bound, in: &provider.pointee.outbound)
        let written = Dubbo.rewriteVersion(
            frame: frame, count: count, dubbo.invocation, version: version.base, versionCount: version.count,
            into: provider.pointee.outbound.tail)
        provider.pointee.outbound.filled(written)
        return written > 0
    }

    // MARK: Keeping requests

    /// Keeps the request for another attempt.
    @inline(__always)
    mutating func hold(_ call: UnsafeMutablePointer<Call>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int) {
        buffers.append(frame, count: count, to: &call.pointee.frame)
        dubbo.heldBytes += count
    }

    /// The request need not be kept any more.
    @inline(__always)
    mutating func letGo(_ call: UnsafeMutablePointer<Call>) {
        dubbo.heldBytes -= call.pointee.frame.count
        buffers.release(&call.pointee.frame)
    }

    @inline(__always)
    func timer(_ call: UnsafeMutablePointer<Call>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(call).assumingMemoryBound(to: WheelTimer.self)
    }
}
