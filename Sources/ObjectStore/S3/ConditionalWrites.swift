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

    private let allowsSingleWriter: Bool
    private let known = Mutex<Mode?>(nil)
    /// Those who come meanwhile wait for the one probe.
    private let gate = RequestGate(limit: 1)

    init(allowsSingleWriter: Bool) { self.allowsSingleWriter = allowsSingleWriter }

    /// How conditional writes are made. A store that was not probed yet is probed without the race, which takes SeaweedFS
    /// seconds: too long for a command. A failed probe is not remembered: the next call probes again.
    ///
    /// - Throws: `ObjectStoreError`; `unsupportedStore` where the store's conditional writes do not exclude each other
    func mode(of store: S3Store) async throws(ObjectStoreError) -> Mode {
        if let mode = known.withLock({ $0 }) { return mode }
        let result: Result<Mode, ObjectStoreError>
        do {
            result = try await gate.withTurn {
                if let mode = self.known.withLock({ $0 }) { return .success(mode) }
                do throws(ObjectStoreError) {
                    return .success(try await self.probe(store, racing: false))
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
    func probe(_ store: S3Store, racing: Bool) async throws(ObjectStoreError) -> Mode {
        var mode = Mode.alone
        do throws(ObjectStoreError) {
            mode = .exclusive(try await S3Probe(store).run(racing: racing))
        } catch {
            guard error.code == .unsupportedStore, allowsSingleWriter else { throw error }
        }
        known.withLock { $0 = mode }
        return mode
    }
}
