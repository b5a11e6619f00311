import Synchronization
import Testing

@testable import HTTP

/// What is remembered of hosts, and for how long.
@Suite struct HostLedgerTests {
    /// As the header below says it.
    private static let date = 784_111_777.0

    private func answer(_ status: Int = 200) -> Result<HTTPResponse, HTTPError> {
        .success(
            HTTPResponse(
                head: HTTPResponseHead(status: status, headers: ["Date": "Sun, 06 Nov 1994 08:49:37 GMT"]), body: [],
                receivedBytes: 0, openedConnection: true))
    }

    private func request(_ host: String) throws -> HTTPRequest { HTTPRequest(.get, try HTTPURL("https://\(host)/x")) }

    /// A clock that was wrong this morning may have been set; a host that nobody speaks to any more is no news.
    @Test func whatIsOldIsForgotten() throws {
        let time = Mutex(Self.date - 600)
        let ledger = HostLedger { time.withLock { $0 } }
        ledger.record(try request("a"), sentAt: Self.date - 600, answer(503))
        #expect(ledger.hosts["a"]?.clockLead == 600)
        time.withLock { $0 += HostLedger.clockLife }
        #expect(ledger.hosts["a"]?.clockLead == 600)
        time.withLock { $0 += 1 }
        #expect(ledger.hosts["a"]?.clockLead == nil)
        #expect(ledger.hosts["a"]?.faults == 1)
        time.withLock { $0 += HostLedger.life }
        #expect(ledger.hosts.isEmpty)
    }

    /// Of more hosts than are remembered, those count that were spoken to last.
    @Test func theLatestHostsAreRemembered() throws {
        let time = Mutex(Self.date)
        let ledger = HostLedger { time.withLock { $0 } }
        for number in 0...HostLedger.maximumHosts {
            time.withLock { $0 += 1 }
            ledger.record(try request("host-\(number)"), sentAt: Self.date, answer())
            // One that is spoken to again and again.
            ledger.record(try request("host-1"), sentAt: Self.date, answer())
        }
        let hosts = ledger.hosts
        #expect(hosts.count == HostLedger.maximumHosts)
        #expect(hosts["host-0"] == nil)
        #expect(hosts["host-1"] != nil)
        #expect(hosts["host-\(HostLedger.maximumHosts)"] != nil)
    }
}
