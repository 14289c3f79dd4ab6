/// One connection to a SOFA RPC provider.
typealias BoltClient = CallClient<BoltFrame>

extension CallClient where Frame == BoltFrame {
    /// Sends a call; the string that answers it comes on the loop.
    func call(_ call: SofaCall, completion: @escaping Completion) {
        send({ call.frame(UInt32(truncatingIfNeeded: $0)).bytes }, completion: completion)
    }
}

extension BoltFrame: CallFrame {
    var answeredCall: Int64? { kind == .response && command == Command.response ? Int64(identifier) : nil }

    /// A heartbeat is answered, whichever side it comes from.
    var reply: [UInt8]? {
        kind != .response && command == Command.heartbeat ? BoltFrame(answer: self).bytes : nil
    }

    var result: Result<String, CallFailure> {
        guard status == Status.success else { return .failure(CallFailure(description: "status \(status)")) }
        do {
            let value = try SofaResult.read(content)
            if let text = value.text { return .success(text) }
            return .failure(CallFailure(description: "an answer that is no string: \(value)"))
        } catch {
            return .failure(CallFailure(description: "\(error)"))
        }
    }
}
