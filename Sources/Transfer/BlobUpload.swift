import OCI
import Registry

/// Sends one blob to one repository, following its pump; carries out an `UploadPlan`.
struct BlobUpload: Sendable {
    let descriptor: Descriptor
    /// The repository, by its name at the destination.
    let repository: Repository
    let client: RegistryClient
    let pump: BlobPump
    let spooled: SpooledBlob
    let context: TransferContext

    /// Ends when the destination has committed the blob.
    ///
    /// - Parameter offered: a fresh session to begin with, where there is one: used once, since one that broke is of no use
    /// - Throws: `TransferError.destinationFailed` when it does not take it, `TransferError.cancelled`
    func run(in offered: UploadSession? = nil) async throws(TransferError) {
        let host = client.endpoint.name
        var session = spooled.session(repository, host)
        var offered = offered
        // One of an earlier run that holds bytes is worth more. And a session can be for one algorithm only.
        if let unwanted = offered, session != nil || descriptor.digest.algorithm != .sha256 {
            offered = nil
            await client.cancel(unwanted)
        }
        var plan = UploadPlan(
            size: descriptor.size, capability: spooled.capability(host), resumes: session != nil)
        let believed = plan.capability
        defer { if plan.capability != believed { spooled.learn(host, plan.capability) } }
        var last = TransferError(.destinationFailed, "\(host) did not take \(descriptor.digest)")
        while true {
            if plan.step == .giveUp {
                if let session { await client.cancel(session) }
                throw last
            }
            do throws(RegistryError) {
                let outcome = try await carryOut(plan.step, &session, &offered)
                if case .committed = outcome { return }
                plan.ended(outcome, minimumChunk: session?.minimumChunk)
                if let session, case .sessionAt = outcome { spooled.recordSession(session, host) }
            } catch {
                last = TransferError(destination: error)
                // When the pump has ended there is nothing to send; the session stays for the next run, unless what it
                // holds is wrong.
                if pump.hasEnded, case .mismatch = await pump.result(), let session { await client.cancel(session) }
                guard !pump.hasEnded, !Task.isCancelled, error.code != .cancelled else { throw last }
                plan.ended(Self.outcome(of: error))
                context.board.update { $0.retries += 1 }
                // Full jitter, from the second failure on: the first is as often the end of a kept connection.
                let bound = plan.failuresInARow < 2 ? 0 : min(15, 0.25 * Double(1 << min(plan.failuresInARow, 8)))
                guard plan.step != .giveUp, bound > 0 else { continue }
                guard await context.pause(.seconds(bound * context.chance())) else { throw last }
            }
        }
    }

    private func carryOut(
        _ step: UploadPlan.Step, _ session: inout UploadSession?, _ offered: inout UploadSession?
    ) async throws(RegistryError) -> UploadPlan.Outcome {
        switch step {
        case .monolithic:
            let fresh = try await begin(&offered)
            let feed = pump.feed(sent: count)
            defer { pump.release(feed) }
            try await client.uploadMonolithic(fresh, digest: descriptor.digest, length: descriptor.size, source: feed)
            return .committed
        case .startSession:
            session = try await begin(&offered)
            return .sessionAt(0)
        case .chunk(let from, let to):
            guard let current = session else { return .sessionLost }
            let feed = pump.feed(from: from, to: to, sent: count)
            defer { pump.release(feed) }
            let receipt = try await client.uploadChunk(current, length: to - from, source: feed)
            session = receipt.session
            return .sessionAt(receipt.session.offset)
        case .askStatus:
            guard let current = session else { return .sessionLost }
            // What the registry has can be no more than one chunk beyond what we know.
            let known = min(current.offset, descriptor.size)
            let sent = min(
                descriptor.size,
                known + max(UploadPlan.chunk * 2, min(current.minimumChunk ?? 0, descriptor.size)))
            let status = try await client.status(current, sent: sent)
            session = status
            return .sessionAt(status.offset)
        case .commit:
            guard let current = session else { return .sessionLost }
            guard case .verified = await pump.result() else {
                throw RegistryError(.cancelled, "the blob was not verified", url: current.description)
            }
            try await client.commit(current, digest: descriptor.digest, size: descriptor.size)
            return .committed
        case .giveUp: return .denied
        }
    }

    /// A fresh session: the one that was offered, or a new one.
    private func begin(_ offered: inout UploadSession?) async throws(RegistryError) -> UploadSession {
        if let session = offered.take() { return session }
        return try await client.startUpload(repository, algorithm: descriptor.digest.algorithm)
    }

    private var count: @Sendable (Int) -> Void {
        let board = context.board
        return { sent in board.update { $0.sentBytes += Int64(sent) } }
    }

    private static func outcome(of error: RegistryError) -> UploadPlan.Outcome {
        switch error.code {
        case .uploadUnknown: .sessionLost
        case .rangeInvalid: .offsetRefused
        case .digestMismatch: .digestRefused
        case .unsupported, .notFound, .protocolViolation: .refused
        case _ where error.isTransient: .broken
        default: .denied
        }
    }
}
