import HTTP
import Synchronization

/// What the probe found out about a store's conditional writes: asked once, remembered for the process.
final class ConditionalWrites: Sendable {
    /// How conditional writes are made.
    enum Mode: Hashable, Sendable {
        /// By the store, with ETags in this form.
        case exclusive(ETagForm)
        /// By reading before writing: the caller promised to be the only writer.
        case alone
    }

    private struct Known {
        var mode: Mode?
        /// Whether writers raced, in this process or, as a note says, in another one.
        var isProved = false
        /// Why the store was refused when writers raced.
        var refusal: ObjectStoreError?
    }

    private let allowsSingleWriter: Bool
    private let known = Mutex(Known())
    /// Those who come meanwhile wait for the one probe.
    private let gate = RequestGate(limit: 1)

    init(allowsSingleWriter: Bool) { self.allowsSingleWriter = allowsSingleWriter }

    /// How conditional writes are made. A store that was not probed yet is probed without the race, which takes SeaweedFS
    /// seconds: too long for a command. A failed probe without a race is not remembered: the next call probes again.
    ///
    /// - Throws: `ObjectStoreError`; `unsupportedStore` where the store's conditional writes do not exclude each other
    func mode(of store: S3Store) async throws(ObjectStoreError) -> Mode {
        if let mode = try self.mode(known.withLock { $0 }) { return mode }
        return try await inTurn(store) { () throws(ObjectStoreError) in
            if let mode = try self.mode(self.known.withLock { $0 }) { return mode }
            return try await self.probe(store, racing: false)
        }
    }

    /// What is known already; `nil` where the store is to be probed. A race finds by chance only that a store checks first and
    /// writes later: one that was found out stays refused, or it would be tried until it is lucky.
    private func mode(_ known: Known) throws(ObjectStoreError) -> Mode? {
        if let refusal = known.refusal { throw refusal }
        return known.mode
    }

    /// Makes sure that writers have raced at this store. That it was out of reach is not remembered: the next call tries
    /// again. That it was refused is, for as long as the process lives.
    ///
    /// - Throws: as `mode(of:)`
    func prove(_ store: S3Store) async throws(ObjectStoreError) {
        if known.withLock({ $0.isProved }) { return }
        _ = try await inTurn(store) { () throws(ObjectStoreError) in
            let known = self.known.withLock { $0 }
            if let mode = try self.mode(known), known.isProved { return mode }
            let note = RaceNote(of: store)
            let wasRun = note?.isThere(at: store.timing.unixTime()) ?? false
            let mode = try await self.probe(store, racing: !wasRun)
            if case .exclusive = mode, !wasRun { note?.write() }
            self.known.withLock { $0.isProved = true }
            return mode
        }
    }

    private func inTurn(
        _ store: S3Store, _ body: @escaping @Sendable () async throws(ObjectStoreError) -> Mode
    ) async throws(ObjectStoreError) -> Mode {
        let result: Result<Mode, ObjectStoreError>
        do {
            result = try await gate.withTurn {
                do throws(ObjectStoreError) {
                    return .success(try await body())
                } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw ObjectStoreError(
                .unavailable, "the probe was cancelled", at: store.transport.bucket.place(of: nil))
        }
        return try result.get()
    }

    /// Probes the store, and remembers what was found.
    private func probe(_ store: S3Store, racing: Bool) async throws(ObjectStoreError) -> Mode {
        var mode = Mode.alone
        do throws(ObjectStoreError) {
            mode = .exclusive(try await S3Probe(store).run(racing: racing))
        } catch {
            guard error.code == .unsupportedStore, allowsSingleWriter else {
                if error.code == .unsupportedStore, racing { known.withLock { $0.refusal = error } }
                throw error
            }
        }
        known.withLock { $0.mode = mode }
        return mode
    }
}
