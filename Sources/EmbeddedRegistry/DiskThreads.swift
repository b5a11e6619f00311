import ImageLayout
import NIOPosix

/// Threads that may wait for the disk, so that neither event loops nor Swift's cooperative threads do.
///
/// A server has two sets of them: one that reads and writes, and one for what may wait for much longer, for a repository's
/// lock, for the disk to have taken everything, or for a large file to be hashed. So no download waits for a push to be
/// committed. What a push sends is written by those that read for downloads, a piece at a time.
struct DiskThreads: Sendable {
    /// More would only wait in the disk's queue.
    static let count = 8
    private let pool: NIOThreadPool

    init(count: Int = DiskThreads.count) {
        pool = NIOThreadPool(numberOfThreads: count)
        pool.start()
    }

    func run<Value: Sendable>(
        _ work: @escaping @Sendable () throws(LayoutError) -> Value
    ) async throws(RegistryProblem) -> Value {
        let result: Result<Value, LayoutError>
        do {
            result = try await pool.runIfActive {
                do throws(LayoutError) {
                    return .success(try work())
                } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw RegistryProblem(.unavailable, "the registry is shutting down")
        }
        do {
            return try result.get()
        } catch {
            throw RegistryProblem(error)
        }
    }

    func shutdown() async { try? await pool.shutdownGracefully() }
}
