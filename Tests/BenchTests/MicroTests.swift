import TestSupport
import Testing

@testable import Bench

/// What is made of microbenchmarks' results; how long they take is nobody's test.
@Suite(.timeLimit(.minutes(5))) struct MicroTests {
    private func result(_ name: String, _ ratio: Double) -> Microbenchmark.Result {
        .init(name: name, operation: "a thing", nanoseconds: 1, ratio: ratio, instructions: nil)
    }

    @Test func onlyWhatIsAboveItsThresholdIsAFault() {
        let thresholds = MicroThresholds(ratios: ["debug": ["a": 10, "b": 10], "release": ["a": 1]])
        #expect(thresholds.faults([result("a", 10), result("b", 3)], build: "debug").isEmpty)
        #expect(
            thresholds.faults([result("a", 12.5)], build: "debug")
                == ["a takes 12.5 rounds of the calibration for a thing, above its threshold of 10.0"])
        #expect(thresholds.faults([result("b", 1)], build: "release") == ["b has no threshold for a release build"])
        #expect(MicroThresholds(ratios: [:]).faults([result("a", 1)], build: "release").isEmpty)
    }

    @Test(arguments: [(1.0, 4.0), (123.4, 494), (0.01234, 0.0494), (98_765, 396_000)])
    func newThresholdsHaveTheMarginAndThreeDigits(_ ratio: Double, _ threshold: Double) {
        let thresholds = MicroThresholds(ratios: ["release": ["a": 1]]).replaced(
            by: [result("a", ratio)], build: "debug")
        #expect(abs((thresholds.ratios["debug"]?["a"] ?? 0) - threshold) < threshold * 1e-9)
        #expect(thresholds.ratios["release"] == ["a": 1])
    }

    @Test func everyPartRunsAndHasAThreshold() async throws {
        try await withTemporaryDirectory("micro") { directory in
            let results = try Microbenchmark.all(in: directory.path).map { try $0.run(seconds: 0) }
            #expect(results.count == 6)
            #expect(results.allSatisfy { $0.nanoseconds > 0 && $0.ratio > 0 })
        }
    }

    @Test func aPartThatAnswersDifferentlyIsAFault() {
        var calls = 0
        let part = Microbenchmark(name: "odd", operation: "x", operations: 1) {
            calls += 1
            return calls
        }
        #expect(throws: BenchError.self) { try part.run(seconds: 0) }
    }
}
