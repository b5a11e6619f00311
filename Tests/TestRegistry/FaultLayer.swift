import HTTPTypes
import Synchronization

/// The faults of one registry: rules of which requests they befall, and a record of what came of them.
public final class FaultLayer: Sendable {
    /// A request as the layer saw it.
    public struct Request: Sendable, Hashable {
        /// The method.
        public let method: String
        /// The path with its query.
        public let target: String
        /// The `Range` that was asked for.
        public let range: String?
        /// What befell it.
        public let fault: RegistryFault?
        /// The bytes of its body that came.
        public internal(set) var received = 0
        /// The status that was sent; `nil` where none was.
        public internal(set) var status: Int?
    }

    private struct Rule {
        let fault: RegistryFault
        let method: Substring
        let target: Substring
        let numbers: ClosedRange<Int>
        /// The requests so far that the pattern was of.
        var seen = 0
    }

    private struct State {
        var rules: [Rule] = []
        var requests: [Request] = []
    }

    private let state = Mutex(State())

    /// Adds a rule. Of several that are of a request, the first befalls it.
    ///
    /// - Parameters:
    ///   - fault: what goes wrong
    ///   - pattern: with which requests: `METHOD TARGET`, where `*` stands for any characters of the target
    ///   - numbers: with which of them, counted from 1
    public func inject(_ fault: RegistryFault, into pattern: String, _ numbers: ClosedRange<Int> = 1...Int.max) {
        let parts = pattern.split(separator: " ", maxSplits: 1)
        state.withLock {
            $0.rules.append(
                Rule(
                    fault: fault, method: parts.first ?? "", target: parts.count == 2 ? parts[1] : "*",
                    numbers: numbers))
        }
    }

    /// The requests so far, in the order in which they came.
    public var requests: [Request] { state.withLock { $0.requests } }

    /// How many requests a fault has befallen.
    public var struck: Int { state.withLock { $0.requests.count { $0.fault != nil } } }

    /// Takes a request down.
    ///
    /// - Returns: its number, and what befalls it
    func begin(_ head: HTTPRequest) -> (number: Int, fault: RegistryFault?) {
        let target = head.path ?? ""
        return state.withLock { state in
            var fault: RegistryFault?
            for position in state.rules.indices
            where fault == nil && state.rules[position].method == head.method.rawValue
                && Self.matches(target, state.rules[position].target)
            {
                state.rules[position].seen += 1
                if state.rules[position].numbers.contains(state.rules[position].seen) {
                    fault = state.rules[position].fault
                }
            }
            state.requests.append(
                Request(
                    method: head.method.rawValue, target: target, range: head.headerFields[.range], fault: fault))
            return (state.requests.count - 1, fault)
        }
    }

    /// Takes bytes of a request's body down.
    func received(_ number: Int, _ count: Int) { state.withLock { $0.requests[number].received += count } }

    /// Takes an answer down.
    func answered(_ number: Int, _ status: Int) { state.withLock { $0.requests[number].status = status } }

    /// Whether a text is of a pattern, in which `*` stands for any characters.
    static func matches(_ text: String, _ pattern: Substring) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard let first = parts.first, let last = parts.last, text.hasPrefix(first) else { return false }
        guard parts.count > 1 else { return text == pattern }
        var rest = text.dropFirst(first.count)
        for part in parts.dropFirst().dropLast() {
            guard !part.isEmpty else { continue }
            guard let range = rest.firstRange(of: part) else { return false }
            rest = rest[range.upperBound...]
        }
        return rest.hasSuffix(last)
    }
}
