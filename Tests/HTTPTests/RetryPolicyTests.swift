import Testing

@testable import HTTP

struct RetryPolicyTests {
    private let policy = RetryPolicy(
        attempts: 4, firstWait: .seconds(1), longestWait: .seconds(3), totalWait: .seconds(20))

    @Test(arguments: [
        (1, 500, nil, Duration.zero, 0.5, RetryPolicy.Decision.retry(after: .milliseconds(500), pausesHost: false)),
        (2, 502, nil, .zero, 0.5, .retry(after: .seconds(1), pausesHost: false)),
        // The third bound would be 4 s: the longest wait is 3 s.
        (3, 504, nil, .zero, 0.5, .retry(after: .milliseconds(1500), pausesHost: false)),
        (3, 408, nil, .zero, 0, .retry(after: .zero, pausesHost: false)),
        (4, 500, nil, .zero, 0.5, .fail),
        // 429 and 503 pause the whole host; Retry-After is never shortened.
        (1, 429, Duration.seconds(7), .zero, 0.5, .retry(after: .milliseconds(7500), pausesHost: true)),
        (1, 503, nil, .zero, 0.5, .retry(after: .milliseconds(500), pausesHost: true)),
        // More than is left of the total: fail at once.
        (1, 429, .seconds(21), .zero, 0.5, .fail),
        (2, 429, .seconds(10), .seconds(12), 0.5, .fail),
        (1, 404, nil, .zero, 0.5, .fail), (1, 401, nil, .zero, 0.5, .fail), (1, 501, nil, .zero, 0.5, .fail),
        (1, 200, nil, .zero, 0.5, .fail),
    ])
    func decides(
        attempt: Int, status: Int, retryAfter: Duration?, waited: Duration, chance: Double,
        expected: RetryPolicy.Decision
    ) {
        #expect(
            policy.decide(
                attempt: attempt, failure: .status(status, retryAfter: retryAfter), waited: waited, chance: chance)
                == expected)
    }

    @Test func transportFailures() {
        #expect(
            policy.decide(attempt: 1, failure: .transport(isTransient: true), waited: .zero, chance: 0.25)
                == .retry(after: .milliseconds(250), pausesHost: false))
        #expect(
            policy.decide(attempt: 1, failure: .transport(isTransient: false), waited: .zero, chance: 0.25) == .fail)
    }

    @Test func hugeAttemptsDoNotOverflow() {
        let policy = RetryPolicy(attempts: .max)
        let decision = policy.decide(
            attempt: .max - 1, failure: .transport(isTransient: true), waited: .zero, chance: 0.999)
        #expect(decision == .retry(after: .seconds(30) * 0.999, pausesHost: false))
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Int64(784_111_777)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 29 Feb 2024 23:59:60 GMT", 1_709_251_200),
        ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
        ("Mon, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ])
    func readsDates(text: String, expected: Int64) {
        #expect(HTTPDate.unixTime(of: text) == expected)
    }

    @Test(arguments: ["", "soon", "Sun, 06 Nov 1994", "06 Nov 1994 25:00:00", "99 Nov 1994 08:00:00", "08:49:37"])
    func refusesOtherDates(text: String) {
        #expect(HTTPDate.unixTime(of: text) == nil)
    }

    @Test(arguments: [
        ("120", Duration.seconds(120)), ("0", .zero), (" 5 ", .seconds(5)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", .seconds(37)), ("Sun, 06 Nov 1994 08:00:00 GMT", .zero),
        ("99999999999999999999", nil), ("-5", nil), ("1.5", nil), ("later", nil),
    ])
    func readsRetryAfter(value: String, expected: Duration?) {
        let head = HTTPResponseHead(status: 429, headers: ["Retry-After": value])
        #expect(head.retryAfter(unixTime: 784_111_740) == expected)
    }
}
