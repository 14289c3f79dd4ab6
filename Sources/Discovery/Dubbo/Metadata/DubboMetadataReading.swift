/// Reads an instance's answer a piece at a time, so that a large one does not hold up the loop.
protocol DubboMetadataReading {
    /// Reads a piece; returns what was told when that was the last one.
    mutating func advance() throws(DubboMetadataFailure) -> DubboMetadata?
}

extension DubboMetadataPlace.Way {
    /// Begins to read an answer.
    func read(
        _ answer: [UInt8], application: String, revision: String
    ) throws(DubboMetadataFailure) -> any DubboMetadataReading {
        switch self {
        case .dubbo: try DubboMetadataAnswer(answer, application: application, revision: revision)
        case .tripleHessian: try DubboMetadataAnswer(wrapped: answer, application: application, revision: revision)
        case .triple: TripleMetadataAnswer(answer, application: application, revision: revision)
        }
    }
}

extension DubboMetadataFailure {
    /// Checks that an answer is about what was asked for; empty texts say nothing. Of an application that has just changed, an
    /// instance may tell about what it offers now.
    static func check(_ told: String, is asked: String) throws(DubboMetadataFailure) {
        guard told.isEmpty || told == asked else {
            throw .init(.wrongRevision, "tells about \(Excerpt.words(Array(told.utf8))), not \(asked)")
        }
    }
}
