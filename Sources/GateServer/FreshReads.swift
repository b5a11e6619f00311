/// Shares reads among those who ask the same at the same time, and never gives anyone what was read before they asked.
///
/// For each key at most one read is under way and one waits for it. Who asks while nothing is under way begins a read; who
/// asks while one is under way, which began before, joins the one that waits. However many ask, the store sees one read
/// after another.
actor FreshReads<Key: Hashable & Sendable, Value: Sendable> {
    typealias Read = Task<Value, any Error>

    private struct Turn {
        var underWay: Read
        var waiting: Read?
    }

    /// The most keys with a read under way.
    private let limit: Int
    private var turns: [Key: Turn] = [:]

    init(limit: Int) { self.limit = limit }

    /// A read that begins after this call; `nil` where too many other questions are being answered.
    func read(_ key: Key, _ body: @escaping @Sendable () async throws -> Value) -> Read? {
        if let turn = turns[key] {
            if let waiting = turn.waiting { return waiting }
            let waiting = start(key, after: turn.underWay, body)
            turns[key]?.waiting = waiting
            return waiting
        }
        guard turns.count < limit else { return nil }
        let read = start(key, after: nil, body)
        turns[key] = Turn(underWay: read)
        return read
    }

    private func start(_ key: Key, after before: Read?, _ body: @escaping @Sendable () async throws -> Value) -> Read {
        Task {
            if let before {
                _ = await before.result
                // From here on nobody joins it any more.
                if let waiting = turns[key]?.waiting { turns[key] = Turn(underWay: waiting) }
            }
            defer { if turns[key]?.waiting == nil { turns[key] = nil } }
            return try await body()
        }
    }
}
