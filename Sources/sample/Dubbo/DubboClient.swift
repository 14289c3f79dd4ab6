/// One connection to a Dubbo provider.
typealias DubboClient = CallClient<DubboFrame>

extension CallClient where Frame == DubboFrame {
    /// Sends a call; the string that answers it comes on the loop.
    func call(_ invocation: DubboInvocation, completion: @escaping Completion) {
        send({ DubboFrame(request: $0, body: invocation.body).bytes }, completion: completion)
    }
}

extension DubboFrame: CallFrame {
    var answeredCall: Int64? { isRequest || isEvent ? nil : identifier }

    /// A provider's heartbeat is answered. Its readonly event has no meaning where there is one address only.
    var reply: [UInt8]? {
        guard isRequest, isEvent, isTwoWay else { return nil }
        return DubboFrame(answer: self, status: Status.ok, serialization: serialization, body: body).bytes
    }

    var result: Result<String, CallFailure> {
        do {
            if status == Status.ok {
                let value = try DubboResult.read(body).value
                if let text = value.text { return .success(text) }
                return .failure(CallFailure(description: "an answer that is no string: \(value)"))
            }
            var reader = HessianReader(body)
            return .failure(CallFailure(description: "status \(status): \(try reader.string())"))
        } catch {
            return .failure(CallFailure(description: "\(error)"))
        }
    }
}
