import Glibc

/// A value that threads change and wait on, blocking (server threads) or suspending (tests). No polling, no sleep.
final class Monitor<Value: Sendable>: @unchecked Sendable {
    private struct Waiter {
        let isReached: (Value) -> Bool
        let continuation: CheckedContinuation<Void, Never>
    }

    // A condition variable and not `Mutex`: threads of the scripted server block here.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var value: Value
    private var waiters: [Int: Waiter] = [:]
    private var nextWaiter = 0

    init(_ value: Value) {
        self.value = value
        pthread_mutex_init(lock, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(lock)
        changed.deallocate()
        lock.deallocate()
    }

    /// The value now.
    var current: Value { read { $0 } }

    /// Reads the value under the lock.
    func read<Result>(_ body: (Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body(value)
    }

    /// Changes the value under the lock and wakes whoever waits for what it has become.
    @discardableResult
    func update<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(lock)
        var reached: [CheckedContinuation<Void, Never>] = []
        defer {
            for (number, waiter) in waiters where waiter.isReached(value) {
                waiters[number] = nil
                reached.append(waiter.continuation)
            }
            pthread_cond_broadcast(changed)
            pthread_mutex_unlock(lock)
            for continuation in reached { continuation.resume() }
        }
        return try body(&value)
    }

    /// Blocks the thread until the value is as wanted.
    func block(until isReached: (Value) -> Bool) {
        pthread_mutex_lock(lock)
        while !isReached(value) { pthread_cond_wait(changed, lock) }
        pthread_mutex_unlock(lock)
    }

    /// Suspends the task until the value is as wanted.
    ///
    /// - Throws: `CancellationError`, so that a test's time limit ends the wait.
    func wait(until isReached: @escaping @Sendable (Value) -> Bool) async throws {
        let number = read { _ in
            nextWaiter += 1
            return nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = read { value in
                    // The cancellation handler takes the lock too: either it finds this waiter, or we see it ran.
                    if isReached(value) || Task.isCancelled { return true }
                    waiters[number] = Waiter(isReached: isReached, continuation: continuation)
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            read { _ in waiters.removeValue(forKey: number) }?.continuation.resume()
        }
        try Task.checkCancellation()
    }
}

/// A one-way gate between a test and a server's thread: closed until someone opens it, then open for good.
///
/// A test holds a server back (the server waits, the test opens), or waits for it (the server opens, the test waits).
public final class Gate: Sendable {
    private let isOpenMonitor = Monitor(false)

    /// A closed gate.
    public init() {}

    /// Lets everyone through who waits or comes later.
    public func open() { isOpenMonitor.update { $0 = true } }

    /// Whether it was opened.
    public var isOpen: Bool { isOpenMonitor.current }

    /// Suspends the task until the gate is open.
    ///
    /// - Throws: `CancellationError`
    public func opened() async throws { try await isOpenMonitor.wait { $0 } }

    /// Blocks the thread until the gate is open.
    func block() { isOpenMonitor.block { $0 } }
}

/// Runs work on a thread of its own, which may block.
func startThread(_ work: @escaping @Sendable () -> Void) throws {
    final class Box {
        let work: @Sendable () -> Void
        init(_ work: @escaping @Sendable () -> Void) { self.work = work }
    }
    let box = Unmanaged.passRetained(Box(work))
    var thread: pthread_t = 0
    let code = pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().work()
            return nil
        }, box.toOpaque())
    guard code == 0 else {
        box.release()
        throw TestSupportError("cannot start a thread: \(String(cString: strerror(code)))")
    }
    pthread_detach(thread)
}
