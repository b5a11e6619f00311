import Logging
import OCI
import Readiness
import Transfer

/// Who sees what a pass does, while it does it.
struct PassWitness: Sendable {
    /// Something was done.
    var sign: @Sendable () -> Void = {}
    /// The lists that the pass is about are known.
    var began: @Sendable ([ImageList]) -> Void = { _ in }
    /// What is missing is known, and is being brought.
    var surveyed: @Sendable ([ClosureEntry]) -> Void = { _ in }
    /// The object store has taken a cache manifest of the pass.
    var published: @Sendable () -> Void = {}
    /// A blob was brought.
    var brought: @Sendable (Digest, _ size: Int64) -> Void = { _, _ in }
    /// An entry was given up.
    var failed: @Sendable (ClosureEntry.Identity, TransferError) -> Void = { _, _ in }
}

extension PassWitness {
    /// Writes what happens to the log: each list under its `generation`, each blob and manifest under its `digest`, all of
    /// one pass under its `pass`.
    ///
    /// - Parameters:
    ///   - logger: one that has the pass's number
    ///   - sign: called with everything that happens
    ///   - short: called with the bytes that are to come
    init(logger: Logger, sign: @escaping @Sendable () -> Void, toCome: @escaping @Sendable (Int64) -> Void) {
        self.sign = sign
        began = { lists in
            for list in lists {
                logger.debug(
                    "list",
                    metadata: Self.name(list.name, list.generation).merging([
                        "entries": .stringConvertible(list.closure.entries.count),
                        "bytes": .stringConvertible(list.closure.uniqueBytes),
                    ]) { $1 })
            }
        }
        surveyed = { missing in
            sign()
            let bytes = Closure(missing).uniqueBytes
            logger.info(
                "something is missing, and is brought",
                metadata: ["missing": .stringConvertible(missing.count), "bytes": .stringConvertible(bytes)])
            toCome(bytes)
        }
        brought = { digest, size in
            logger.debug(
                "blob brought", metadata: ["digest": "\(digest)", "bytes": .stringConvertible(size)])
        }
        failed = { entry, error in
            logger.debug(
                "entry given up",
                metadata: [
                    "digest": "\(entry.digest)", "repository": "\(entry.repository)", "kind": "\(entry.kind.rawValue)",
                    "reason": "\(error)",
                ])
        }
    }

    /// By what a list's lines are found.
    static func name(_ list: ListName, _ generation: Digest) -> Logger.Metadata {
        ["list": "\(list)", "generation": "\(generation)"]
    }
}
