import ImageLayout
import OCI
import Synchronization

/// The upload sessions that requests of this process use, each by one request at a time.
///
/// A session stays open between requests, so that its hash goes on; the layout has the sessions of earlier processes.
final class UploadSessions: Sendable {
    /// The most sessions that stay open between requests. Others are opened again, and their bytes hashed again.
    static let openLimit = 256
    /// The most sessions at all.
    static let limit = 4096

    private struct Slot {
        var upload: LayoutUpload?
        var isBusy: Bool
        /// Ends the request that has it.
        var interrupt: (@Sendable () -> Void)?
        var lastUsed: UInt64
    }

    private struct State {
        var slots: [UploadName: Slot] = [:]
        var turn: UInt64 = 0
    }

    private let state = Mutex(State())

    private enum Answer {
        case open(LayoutUpload)
        case toBeOpened
        case busy(interrupt: (@Sendable () -> Void)?)
    }

    /// Gives a session to a request, which must call `release`.
    ///
    /// A request that still has it is ended first: its client has lost the connection, and goes on with this one.
    ///
    /// - Parameter interrupt: ends the request that gets it now
    /// - Throws: `.blobUploadUnknown`; `.rangeInvalid` where the other request does not end within five seconds
    func acquire(
        _ name: UploadName, in repository: Repository, _ layout: ImageLayout, _ disk: DiskThreads,
        interrupt: @escaping @Sendable () -> Void
    ) async throws -> LayoutUpload {
        for attempt in 0..<500 {
            switch take(name, interrupt) {
            case .open(let upload):
                guard upload.repository == repository else {
                    release(upload)
                    throw Self.unknown(name, repository)
                }
                return upload
            case .toBeOpened:
                do {
                    let upload = try await disk.run { () throws(LayoutError) in
                        try layout.upload(name, in: repository)
                    }
                    guard let upload else { throw Self.unknown(name, repository) }
                    state.withLock { $0.slots[name]?.upload = upload }
                    return upload
                } catch {
                    state.withLock { $0.slots[name] = nil }
                    throw error
                }
            case .busy(let interrupt):
                if attempt == 0 { interrupt?() }
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        throw RegistryProblem(.rangeInvalid, "another request writes to this upload: ask where it stands, and go on")
    }

    private func take(_ name: UploadName, _ interrupt: @escaping @Sendable () -> Void) -> Answer {
        state.withLock { state in
            state.turn += 1
            guard let slot = state.slots[name] else {
                state.slots[name] = Slot(isBusy: true, interrupt: interrupt, lastUsed: state.turn)
                return .toBeOpened
            }
            guard !slot.isBusy, let upload = slot.upload else { return .busy(interrupt: slot.interrupt) }
            state.slots[name] = Slot(upload: upload, isBusy: true, interrupt: interrupt, lastUsed: state.turn)
            return .open(upload)
        }
    }

    /// Adds a fresh session that a request has.
    func add(_ upload: LayoutUpload, interrupt: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.turn += 1
            state.slots[upload.name] = Slot(
                upload: upload, isBusy: true, interrupt: interrupt, lastUsed: state.turn)
        }
    }

    /// Ends a request's use of a session, which stays open for the next.
    func release(_ upload: LayoutUpload) {
        let closed = state.withLock { state -> Slot? in
            state.slots[upload.name]?.isBusy = false
            state.slots[upload.name]?.interrupt = nil
            guard state.slots.count > Self.openLimit,
                let oldest = state.slots.filter({ !$0.value.isBusy }).min(by: { $0.value.lastUsed < $1.value.lastUsed })
            else { return nil }
            return state.slots.removeValue(forKey: oldest.key)
        }
        // Its file closes here, outside the lock.
        _ = closed
    }

    /// Ends a session's use for good.
    func remove(_ upload: LayoutUpload) { state.withLock { $0.slots[upload.name] = nil } }

    /// Where an open session stands; `nil` where it is not open.
    func offset(of name: UploadName, in repository: Repository) -> Int64? {
        state.withLock { state in
            state.slots[name]?.upload.flatMap { $0.repository == repository ? $0.offset : nil }
        }
    }

    static func unknown(_ name: UploadName, _ repository: Repository) -> RegistryProblem {
        RegistryProblem(.blobUploadUnknown, "\(repository) has no upload \(name): start a new one")
    }
}
