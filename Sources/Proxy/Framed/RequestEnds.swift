import Balancing
import Codecs
import Routing
import Runtime

// How requests end: with the host's answer, with an answer of our own, or with neither.
extension Worker {
    /// Counts and logs a request that has ended in whatever way, and gives back what it held.
    @inline(__always)
    mutating func end<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, code: Int32
    ) {
        guard let service = request.pointee.state.service else { return }
        if request.pointee.state.mirror.concernsEnd, endMirrored(framed, request, code: code) { return }
        if !request.pointee.state.logLine.isEmpty { endLogLine(request, service) }
        record(
            RequestRecord(
                service: service, kind: Codec.kind, requested: request.pointee.state.asked.requestedLabel,
                served: request.pointee.state.served, code: code, started: request.pointee.state.started),
            line: &request.pointee.state.logLine)
        service.pointee.waiting.framed.remove(request)
        if request.pointee.limits.place != nil { request.pointee.limits.leaveLimits() }
        if request.pointee.state.isRepeated {
            service.pointee.furtherTries.end(&request.pointee.state)
            if request.pointee.partner != nil { endHedge(framed, request) }
        }
        wheel.cancel(request.timer)
        leaveUpstream(framed, request)
        if let downstream = request.pointee.downstream {
            downstream.pointee.requests.remove(request)
            downstream.pointee.requestCount -= 1
            // It may have waited for this: to be read from again, or to be closed.
            markDirty(framed, downstream)
        }
        letGo(framed, request)
        request.pointee.state.service = nil
        framed.pointee.requests.put(request)
        finishRequest(of: service)
    }

    /// Ends the bond between a request and the connection that it was sent on; an answer that still comes is dropped.
    @inline(__always)
    mutating func leaveUpstream<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) {
        guard let upstream = request.pointee.upstream else { return }
        if request.pointee.isTwoWay {
            upstream.pointee.requests.remove(request)
        } else {
            upstream.pointee.oneWayRequests.remove(request)
        }
        request.pointee.upstream = nil
        endTally(&request.pointee.state)
        upstream.pointee.endpoint.pointee.active -= 1
        if upstream.pointee.requests.first == nil { closeIfDone(framed, upstream) }
    }

    // MARK: Answers of our own

    mutating func answer<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>, _ answer: LocalAnswer, _ text: String
    ) {
        if request.pointee.state.mirror == .copy { return endCopy(framed, request, .failed) }
        if let downstream = request.pointee.downstream {
            let count = Codec.write(
                answer, text, id: request.pointee.downstreamID, request.pointee.form, into: output)
            send(framed, output, count, to: downstream)
        }
        end(framed, request, code: Codec.code(answer))
    }

    /// What an answer of our own says to a person.
    mutating func text<Codec: FramedCodec & ~Copyable>(
        of answer: LocalAnswer, _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ frame: UnsafeMutablePointer<UInt8>, _ count: Int, _ reason: String
    ) -> String {
        guard let service = request.pointee.state.service else { return "greymesh" }
        let name = service.pointee.key.name
        let because = reason.isEmpty ? "" : ": " + reason
        switch answer {
        case .noHost:
            return "greymesh: no usable host of service \(name)" + describe(framed, request, service, frame, count)
        case .exhausted:
            return "greymesh: no connection to a host of service \(name) can be opened from here: "
                + SystemError.text(of: framed.pointee.exhaustion)
        case .unreachable:
            let tried = request.pointee.state.tried.count
            let hosts = tried == 1 ? "1 host" : "\(tried) hosts"
            return "greymesh: service \(name) could not be reached, \(hosts) tried" + because
        case .timeout: return "greymesh: no answer within \(milliseconds(request)) ms" + because
        case .malformed, .tooLong, .unnamed, .undiscovered, .lost, .badAnswer, .overloaded, .rateLimited, .denied,
            .loop, .unsupported:
            return "greymesh: service \(name)" + because
        }
    }

    private func milliseconds(_ request: UnsafeMutablePointer<FramedRequest>) -> Int64 {
        (request.pointee.state.deadline - request.pointee.state.started) / 1_000_000
    }

    /// What the request asks for, in words.
    private mutating func describe<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>,
        _ service: UnsafeMutablePointer<Service>, _ frame: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> String {
        guard let head = Codec.head(frame, count: count) else { return "" }
        let reading = framed.pointee.codec.read(frame, head)
        var text = ""
        switch wantedTarget(service, request.pointee.state.asked) {
        case .version(let label) where label >= 0: text += " in version \(service.pointee.labels[label].text)"
        case .version: text += " in version \(requestedText(framed, frame))"
        case .own, .any, .nothing: break
        }
        guard case .named = reading else { return text }
        let version = framed.pointee.codec.version(frame).text
        let group = framed.pointee.codec.group(frame).text
        text += " for interface version \(version.isEmpty ? "\(Codec.noVersion)" : version)"
        return text + (group.isEmpty ? " without \(Codec.groupName)" : " and \(Codec.groupName) \(group)")
    }

    private func requestedText<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ frame: UnsafeMutablePointer<UInt8>
    ) -> String {
        for index in 0..<settings.versionNameCount {
            let value = framed.pointee.codec.property(settings.versionNames[index], frame)?.text ?? ""
            if !value.isEmpty && value != "0.0.0" && value != "*" { return value }
        }
        return "asked for"
    }

    // MARK: Time

    /// The registries or the host have not answered in time.
    mutating func requestTimeout<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ request: UnsafeMutablePointer<FramedRequest>
    ) {
        guard let service = request.pointee.state.service else { return }
        if request.pointee.state.mirror == .copy { return endCopy(framed, request, .failed) }
        if request.pointee.state.isDelayed { return endDelay(framed, request, service) }
        if now < request.pointee.state.deadline, request.pointee.upstream != nil || request.pointee.partner != nil {
            return endTry(framed, request, service)
        }
        if request.pointee.upstream == nil && request.pointee.partner != nil { takePlace(framed, of: request) }
        var event = RequestEvent.undiscovered
        var text = "greymesh: the registries have not answered in time about service \(service.pointee.key.name)"
        if now >= request.pointee.state.deadline { text += ": the caller waits \(milliseconds(request)) ms" }
        if let upstream = request.pointee.upstream {
            event = .timedOut
            let host = upstream.pointee.endpoint.pointee.address
            text = "greymesh: \(host) did not answer within \(milliseconds(request)) ms"
            noteTimeout(framed, upstream, since: request.pointee.state.givenAt)
            if upstream.pointee.isOpen { tallyFailure(request.pointee.state) }
            request.pointee.limits.measure(since: request.pointee.state.givenAt, now: now)
            expireUnsent(request, upstream)
        }
        guard case .answer(let answer) = verdict(on: event, of: request.pointee.state) else { return }
        self.answer(framed, request, answer, text)
    }

    /// A request that was with a host since some time was not answered in time.
    mutating func noteTimeout<Codec: FramedCodec & ~Copyable>(
        _ framed: Framed<Codec>, _ upstream: UnsafeMutablePointer<FramedUpstream>, since started: Int64
    ) {
        if !upstream.pointee.isOpen { return }
        let wasHeard = upstream.pointee.connection.progress.heardAt >= started
        if !wasHeard || upstream.pointee.connection.isWithinFrame { probe(framed, upstream) }
        noteTimeout(upstream.pointee.endpoint, since: lag.running(since: started))
    }
}
