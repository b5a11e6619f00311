import Testing

@testable import Bench

/// The words for `tc` and `ip`. Where the kernel has no netem, this is all that is tested of it.
@Suite(.timeLimit(.minutes(5))) struct NetemTests {
    @Test func aLinkIsWrittenAsTheKernelTakesIt() {
        let parameters = LinkParameters(rate: 200_000_000, roundTrip: 80, loss: 0.001, seed: 1, emulation: .netem)
        // One product of bandwidth and delay waits, and half of one is under way: 3,000,000 bytes.
        #expect(
            Netem.discipline(parameters)
                == ["limit", "2000", "delay", "40000us", "loss", "random", "0.1000%", "rate", "200000000bit"])
        let short = LinkParameters(rate: 1_000_000, roundTrip: 0.5, loss: 0, seed: 1, emulation: .netem)
        #expect(Netem.discipline(short) == ["limit", "64", "delay", "250us", "rate", "1000000bit"])
        #expect(parameters.text.hasSuffix("netem"))
    }

    @Test func anEndHasItsAddressAndItsDiscipline() {
        let parameters = LinkParameters(rate: 1_000_000, roundTrip: 10, loss: 0, seed: 1, emulation: .netem)
        let commands = Netem.end(own: "198.18.0.1", peer: "198.18.0.2", parameters)
        #expect(commands.first == ["ip", "addr", "add", "198.18.0.1", "peer", "198.18.0.2", "dev", "wan0"])
        #expect(commands.last?.prefix(7) == ["tc", "qdisc", "add", "dev", "wan0", "root", "netem"])
        #expect(Netem.pair(near: "n").suffix(4) == ["name", "wan0", "netns", "n"])
    }

    @Test func countersLeaveHeadersOut() {
        let file = """
            Inter-|   Receive                                                |  Transmit
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
                lo:     100       2    0    0    0     0          0         0      100       2    0    0    0
              wan0: 1514000    1000    0    0    0     0          0         0    66000    1000    0    0    0
            """
        let counters = Netem.counters(file)
        #expect(counters.received.bytes == 1_500_000)
        #expect(counters.received.payload == 1_448_000)
        #expect(counters.received.packets == 1000)
        #expect(counters.sent.payload == 0)
        #expect(Netem.counters("").received == LinkCounters())
    }
}
