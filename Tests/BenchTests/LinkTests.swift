import Glibc
import Testing

@testable import Bench

/// Whether this machine can have a link, and whether one works.
@Suite(.timeLimit(.minutes(5))) struct LinkTests {
    private func obstacle(
        isRoot: Bool = true, capabilities: String = "000001ffffffffff", device: String? = nil, hasTools: Bool = true
    ) -> String {
        Link.obstacle(
            isRoot: isRoot, status: "Name:\tx\nCapEff:\t\(capabilities)\n", deviceFault: device, hasTools: hasTools)
            ?? "none"
    }

    @Test func whatThisMachineLacksIsSaid() {
        #expect(obstacle() == "none")
        #expect(obstacle(isRoot: false).contains("needs root"))
        #expect(obstacle(device: "No such device").contains("/dev/net/tun: No such device"))
        #expect(obstacle(hasTools: false).contains("install iproute2"))
        #expect(Link.obstacle(isRoot: true, status: "", deviceFault: nil, hasTools: true)?.contains("CAP_") == true)
    }

    @Test(arguments: [
        ("0000000000201000", "none"), ("0000000000200000", "CAP_NET_ADMIN"), ("0000000000001000", "CAP_SYS_ADMIN"),
        // What root has in a container.
        ("00000000a80425fb", "CAP_NET_ADMIN"), ("nonsense", "CAP_NET_ADMIN"),
    ])
    func rootNeedsItsRights(_ capabilities: String, _ words: String) {
        #expect(obstacle(capabilities: capabilities).contains(words))
    }

    private func test(rate: Double = 193, trip: Double = 80, loss: Double = 1) -> LinkSelfTest {
        var test = LinkSelfTest()
        test.lines = [
            .init(what: "rate", unit: "Mbit/s", expected: 193, measured: rate, chance: 0),
            .init(what: "round trip", unit: "ms", expected: 80, measured: trip, chance: 0),
            .init(what: "loss", unit: "%", expected: 1, measured: loss, chance: 0.07),
        ]
        return test
    }

    @Test func aSlowLinkIsNotBroken() {
        #expect(test().faults.isEmpty)
        #expect(test(rate: 12, trip: 900, loss: 1.3).faults.isEmpty)
    }

    @Test func aLinkThatCarriesNothingOrLosesOtherwiseIsBroken() {
        #expect(test(rate: 0).faults == ["rate: nothing came through"])
        #expect(test(trip: .nan).faults == ["round trip: nothing came through"])
        #expect(test(loss: 0).faults == ["loss: 0.000 %, where 1.000 % should be"])
        #expect(test(loss: 100).faults.count == 1)
    }

    @Test func aProbesSocketDoesNotWaitForEver() throws {
        let socket = try Socket(SOCK_DGRAM)
        socket.setTimeout(seconds: 7)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            var time = timeval()
            var length = socklen_t(MemoryLayout<timeval>.size)
            let code = getsockopt(socket.descriptor, SOL_SOCKET, option, &time, &length)
            #expect(code == 0)
            #expect(time.tv_sec == 7)
        }
    }
}
