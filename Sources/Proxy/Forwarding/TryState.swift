import Balancing

/// What belongs to one try of a request that two hosts have.
struct TryState {
    /// Where what becomes of it is counted; nil: nowhere.
    var tally: UnsafeMutablePointer<HostTally>?
    /// When the host could begin with it.
    var givenAt: Int64 = 0
}

extension RequestState {
    /// The try that it is about now; the other one is put aside.
    var current: TryState {
        get { TryState(tally: tally, givenAt: givenAt) }
        set { (tally, givenAt) = (newValue.tally, newValue.givenAt) }
    }
}
