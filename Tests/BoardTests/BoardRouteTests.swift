import Readiness
import Testing

@testable import Board

@Suite(.timeLimit(.minutes(5))) struct BoardRouteTests {
    @Test(arguments: [
        "/", "/waivers", "/audit", "/audit?environment=lab&site=lab-1&list=web&by=ann%40host&before=17",
        "/environments/lab", "/environments/lab?state=blocked&page=3", "/environments/lab?page=2",
        "/environments/lab/lists/web", "/environments/lab/lists/web?state=waived", "/environments/lab/sites/lab-1",
        "/audit?by=%C3%A9%26x%3D%22%3C",
    ])
    func linksReadBack(_ path: String) throws {
        #expect(BoardRoute.owns(String(path.prefix { $0 != "?" })))
        #expect(try Self.route(path).path == path)
    }

    /// As a server decodes it.
    private static func route(_ path: String) throws -> BoardRoute {
        let parts = path.split(separator: "?", maxSplits: 1)
        let query = parts.dropFirst().first?.split(separator: "&") ?? []
        return try BoardRoute(
            path: String(parts[0]),
            query: query.map { pair in
                let pair = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                return (pair[0], Self.decoded(pair[1]))
            })
    }

    private static func decoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func aFormThatIsNotFilledInAsksNothing() throws {
        #expect(
            try BoardRoute(path: "/audit", query: [("environment", ""), ("by", "")]) == .audit(.init(), before: nil))
    }

    @Test(arguments: [
        ("/environments", [], true), ("/environments/lab/web", [], true), ("/environments/lab/sites", [], true),
        ("/environments/lab/lists/web/x", [], true), ("/nothing", [], true), ("/audit/", [], true),
        ("/environments/-x", [], false), ("/environments/", [], false), ("/environments/a b", [], false),
        ("/environments/lab/sites/..", [], false), ("/environments/lab/lists/<x>", [], false),
        ("/environments/lab", [("state", "green")], false), ("/environments/lab", [("page", "0")], false),
        ("/environments/lab", [("page", "99999999999999999999")], false), ("/environments/lab", [("x", "1")], false),
        ("/audit", [("environment", "a/b")], false), ("/audit", [("before", "-1")], false),
        ("/audit", [("site", "a"), ("site", "b")], false), ("/", [("page", "1")], false),
        ("/audit", [("by", String(repeating: "x", count: 301))], false),
    ])
    func whatIsNoPageIsRefused(_ path: String, _ query: [(String, String)], _ isUnknown: Bool) {
        #expect {
            try BoardRoute(path: path, query: query)
        } throws: {
            ($0 as? BoardRoute.Fault)?.isUnknownPath == isUnknown
        }
    }
}
