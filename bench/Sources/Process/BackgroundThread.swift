import Glibc

/// A thread that runs a closure; whoever starts it joins it.
final class BackgroundThread {
    private final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private var thread = pthread_t()

    /// - Throws: `BenchError` where the system has no more threads
    init(_ body: @escaping @Sendable () -> Void) throws {
        let work = Unmanaged.passRetained(Work(body))
        let code = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, work.toOpaque())
        guard code == 0 else {
            work.release()
            throw BenchError(.system, "no thread: \(errorText(code))")
        }
    }

    /// Waits for its end.
    func join() { pthread_join(thread, nil) }
}
