/// What is known about a place: read page by page, then kept up to date by changes.
///
/// A read tells how the keys were at one revision. Changes come by another way and can be ahead of it or behind it: those
/// that come while it is under way are kept, and only what is newer than it counts afterwards. So nothing is lost or doubled
/// whatever the order.
struct EtcdFolder {
    /// A key.
    struct Entry {
        let revision: Int64
        let lease: Int64
        let content: EtcdContent
    }

    /// What a page has led to.
    enum Progress: Equatable {
        /// The read goes on from this key, at the read's revision.
        case next([UInt8])
        case complete
    }

    private struct Reading {
        var revision: Int64 = 0
        var entries: [[UInt8]: Entry] = [:]
        /// Keys that were read, also those that say nothing.
        var count = 0
        /// The last change of each key since the read began; nil content is a deleted key.
        var later: [[UInt8]: (revision: Int64, entry: Entry?)] = [:]
    }

    let place: EtcdPlace
    /// By the part of the key that the place does not say.
    private(set) var entries: [[UInt8]: Entry] = [:]
    /// What the entries are true for, apart from later changes.
    private(set) var revision: Int64 = 0
    private(set) var isRead = false
    /// It was read from a member's own copy, which can be old.
    private(set) var isStale = false
    private var reading: Reading?

    init(_ place: EtcdPlace) { self.place = place }

    /// The revision a read in pages is bound to; 0 for none.
    var readingRevision: Int64 { reading?.revision ?? 0 }

    mutating func beginReading() { reading = Reading() }

    mutating func abandonReading() { reading = nil }

    /// Takes some of a page's keys.
    mutating func take(_ records: some Sequence<EtcdRecord>) {
        for record in records {
            reading?.count += 1
            guard let name = name(record.key), let content = content(name, record) else { continue }
            reading?.entries[name] = Entry(revision: record.revision, lease: record.lease, content: content)
        }
    }

    /// A page was taken whole; the read began at `revision` when it is the first.
    mutating func finishPage(last: [UInt8]?, more: Bool, revision: Int64) -> Progress {
        if reading?.revision == 0 { reading?.revision = revision }
        if more, let last { return .next(last + [0]) }
        return .complete
    }

    /// How many keys a read has brought so far.
    var readingCount: Int { reading?.count ?? 0 }

    /// The read is complete: what it says counts, and what has come later.
    mutating func commit(isStale: Bool) {
        guard let done = reading else { return }
        entries = done.entries
        revision = done.revision
        for (name, change) in done.later where change.revision > revision { entries[name] = change.entry }
        isRead = true
        self.isStale = isStale
        reading = nil
    }

    /// The cluster's history is another one: revisions mean nothing any more.
    mutating func forgetRevisions() {
        revision = 0
        reading = nil
        isStale = isRead
    }

    /// Takes a change; tells whether the entries are others now.
    mutating func apply(_ event: EtcdEvent) -> Bool {
        let record = event.record
        guard let name = name(record.key), !event.isDelete || entries[name] != nil || reading != nil else {
            return false
        }
        let content = event.isDelete ? nil : content(name, record)
        let entry = content.map { Entry(revision: record.revision, lease: record.lease, content: $0) }
        if reading != nil {
            if record.revision >= reading?.later[name]?.revision ?? 0 {
                reading?.later[name] = (record.revision, entry)
            }
        }
        guard isRead, record.revision > revision, record.revision > entries[name]?.revision ?? 0 else { return false }
        if entry == nil && entries[name] == nil { return false }
        let isRenewal = entry != nil && EtcdContent.isSame(entry?.content, entries[name]?.content)
        entries[name] = entry
        return !isRenewal
    }

    /// What a key says beyond its place; nil where it is deeper or is not of this place.
    private func name(_ key: [UInt8]) -> [UInt8]? {
        let prefix = place.span.key
        if place.span.end.isEmpty { return key == prefix ? [] : nil }
        guard key.count > prefix.count, key.starts(with: prefix) else { return nil }
        let name = key[prefix.count...]
        return name.contains(UInt8(ascii: "/")) ? nil : Array(name)
    }

    private func content(_ name: [UInt8], _ record: EtcdRecord) -> EtcdContent? {
        EtcdContent(place.content, name: String(decoding: name, as: UTF8.self), record)
    }
}
