import CLinux
import Glibc

/// A pure part of Rollcall on its own, measured in CPU time beside a loop of arithmetic, so that the figure depends on the
/// machine as little as it can.
struct Microbenchmark {
    let name: String
    /// What one operation is.
    let operation: String
    /// Operations that one batch does.
    let operations: Int
    /// Does a batch, and returns something that depends on all of it.
    let batch: () throws -> Int

    /// What a microbenchmark came to.
    struct Result {
        let name: String
        let operation: String
        /// CPU nanoseconds of an operation in the fastest of the batches, all threads of the process together.
        let nanoseconds: Double
        /// That beside the calibration's round.
        let ratio: Double
        /// Instructions of an operation in user mode; `nil` where the kernel does not count them for us.
        let instructions: Double?
    }

    /// Rounds of the calibration in one go, some milliseconds.
    private static let rounds: UInt64 = 2_000_000

    /// Runs batches for some time, each followed by the calibration, so that both see the same machine.
    ///
    /// - Parameter seconds: how long
    /// - Throws: what the batch throws, or `BenchError` where one batch gives another answer than the first
    func run(seconds: Double) throws -> Result {
        var fastest = (batch: Double.infinity, calibration: Double.infinity)
        var instructions: Double?
        var answer: Int?
        let counter = bench_instructions_open()
        defer { if counter >= 0 { close(counter) } }
        let end = monotonicSeconds() + seconds
        var batches = 0
        // Three at least: the first is of cold caches.
        while batches < 3 || monotonicSeconds() < end {
            let counted = counter >= 0 ? bench_instructions_read(counter) : -1
            let start = Self.cpuNanoseconds()
            let result = try batch()
            fastest.batch = min(fastest.batch, Self.cpuNanoseconds() - start)
            if counter >= 0, counted >= 0 {
                let used = Double(bench_instructions_read(counter) - counted)
                if used > 0 { instructions = min(instructions ?? .infinity, used) }
            }
            guard result == answer ?? result else {
                throw BenchError(.verification, "\(name) answered \(result) after \(answer ?? 0)")
            }
            answer = result
            let pause = Self.cpuNanoseconds()
            // Its result is used, or it would be left out.
            guard bench_calibrate(Self.rounds) != 0 else { throw BenchError(.system, "the calibration answered 0") }
            fastest.calibration = min(fastest.calibration, Self.cpuNanoseconds() - pause)
            batches += 1
        }
        let nanoseconds = fastest.batch / Double(operations)
        return Result(
            name: name, operation: operation, nanoseconds: nanoseconds,
            ratio: nanoseconds / (fastest.calibration / Double(Self.rounds)),
            instructions: instructions.map { $0 / Double(operations) })
    }

    /// CPU time of the whole process.
    private static func cpuNanoseconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }
}

/// The highest ratios that microbenchmarks may have, as they are checked in.
struct MicroThresholds: Codable, Equatable {
    /// By the kind of build and the microbenchmark's name: CPU time of an operation in rounds of the calibration.
    var ratios: [String: [String: Double]]

    /// How far a threshold lies above what was measured when it was written: other processors, other neighbours.
    static let margin = 4.0

    /// The kind of this build.
    static var build: String {
        #if DEBUG
            "debug"
        #else
            "release"
        #endif
    }

    /// What is wrong with results, in words; nothing where all of them are within, or this kind of build has no thresholds.
    func faults(_ results: [Microbenchmark.Result], build: String) -> [String] {
        guard let limits = ratios[build] else { return [] }
        return results.compactMap { result in
            guard let limit = limits[result.name] else { return "\(result.name) has no threshold for a \(build) build" }
            guard result.ratio > limit else { return nil }
            return "\(result.name) takes \(fixed(result.ratio, 1)) rounds of the calibration for \(result.operation), "
                + "above its threshold of \(fixed(limit, 1))"
        }
    }

    /// These thresholds with those of a build replaced by what was measured and the margin, to three digits.
    func replaced(by results: [Microbenchmark.Result], build: String) -> MicroThresholds {
        var changed = self
        changed.ratios[build] = Dictionary(
            results.map { ($0.name, Self.rounded($0.ratio * Self.margin)) }, uniquingKeysWith: { $1 })
        return changed
    }

    private static func rounded(_ value: Double) -> Double {
        guard value.isFinite, value > 0 else { return 0 }
        var unit = 1.0
        while value / unit >= 1000 { unit *= 10 }
        while value / unit < 100 { unit /= 10 }
        return (value / unit).rounded(.up) * unit
    }
}
