/// The steps that are still to come.
struct Script {
    private let steps: [(index: Int, step: Step)]
    private var position = 0
    private var turnsLeft: Int?
    /// Until when nothing but time passes.
    var timeEnd: Int64?
    /// Indices of the steps that were performed.
    private(set) var performed: [Int] = []

    init(steps: [(index: Int, step: Step)]) {
        self.steps = steps
        prepare()
    }

    var isDone: Bool { position == steps.count }

    /// The next step when its turn has come.
    mutating func due() -> (index: Int, step: Step)? {
        guard timeEnd == nil, !isDone, let left = turnsLeft else { return nil }
        if left > 0 {
            turnsLeft = left - 1
            return nil
        }
        return take()
    }

    /// The next step whether its turn has come or not: nothing else happens.
    mutating func next() -> (index: Int, step: Step)? { isDone || timeEnd != nil ? nil : take() }

    /// The next step when it belongs to the same moment as the last one.
    mutating func together() -> (index: Int, step: Step)? {
        guard timeEnd == nil, !isDone, case .together = steps[position].step.gap else { return nil }
        return take()
    }

    private mutating func take() -> (index: Int, step: Step) {
        let taken = steps[position]
        position += 1
        performed.append(taken.index)
        prepare()
        return taken
    }

    private mutating func prepare() {
        guard !isDone else { return }
        switch steps[position].step.gap {
        case .together: turnsLeft = 0
        case .turns(let count): turnsLeft = count
        case .quiet: turnsLeft = nil
        }
    }
}
