public import ArgumentParser
import CGlibc

/// What the executables are.
public enum Product {
    /// The version of everything in this package.
    public static let version = "0.1.0"

    /// Settles process-wide matters, before anything else runs.
    ///
    /// glibc keeps an arena for each thread that ever allocated, and what one thread frees stays with its arena: a
    /// transfer's buffers, freed on other threads than they were made on, then cost twice their size (measured: 44 MiB
    /// against 24 MiB for a 1 GiB copy). Two arenas are enough for two busy threads.
    public static func prepareProcess() {
        rollcall_limit_malloc_arenas(2)
    }
}

extension ExitCode {
    /// A correct negative answer: not ready, something missing, or refused.
    public static let blocked = ExitCode(3)
}
