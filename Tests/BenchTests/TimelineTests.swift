import Testing

@testable import Bench

/// What is read from a link's samples, against arithmetic.
@Suite(.timeLimit(.minutes(5))) struct TimelineTests {
    /// A second of nothing, ten seconds at 100 bytes a second, and a second of nothing.
    private var even: Timeline {
        var timeline = Timeline()
        timeline.add(0, down: 0, up: 0)
        for tenth in 10...110 { timeline.add(Double(tenth) / 10, down: (tenth - 10) * 10, up: tenth) }
        timeline.add(12, down: 1000, up: 110)
        return timeline
    }

    @Test func betweenSamplesBytesComeEvenly() {
        #expect(even.carried(by: 0) == 0)
        #expect(abs(even.carried(by: 1.25) - 25) < 1e-9)
        #expect(even.carried(by: 40) == 1000)
        #expect(abs(even.moment(carrying: 500) - 6) < 1e-9)
        #expect(even.moment(carrying: 2000) == 12)
    }

    @Test func anEvenStreamHasItsRate() {
        #expect(abs(even.steadyRate - 100) < 1e-6)
        #expect(abs(even.highest(in: 1) - 100) < 1e-6)
        #expect(even.lastArrival == 11)
    }

    @Test func aBurstShowsInTheHighestSecondAndNotAfterIt() {
        var timeline = Timeline()
        timeline.add(0, down: 0, up: 0)
        timeline.add(0.1, down: 300, up: 0)
        for tenth in 2...100 { timeline.add(Double(tenth) / 10, down: 300 + (tenth - 1) * 10, up: 0) }
        #expect(abs(timeline.highest(in: 1) - 390) < 1e-6)
        #expect(abs(timeline.highest(in: 1, after: 1) - 100) < 1e-6)
        let readings = ScenarioRun.evenness(timeline, 100)
        #expect(abs((readings["highest second / cap"] ?? 0) - 3.9) < 1e-6)
    }

    @Test func curvesHaveASpanForEachStep() {
        let spans = even.spans(of: 1)
        #expect(spans.count == 12)
        #expect(spans.first == 0)
        #expect(abs(spans[5] - 100) < 1e-6)
        #expect(abs(spans.reduce(0, +) - 1000) < 1e-6)
    }

    @Test func nothingIsReadFromNothing() {
        let empty = Timeline()
        #expect(empty.carried(by: 1) == 0)
        #expect(empty.steadyRate == 0)
        #expect(empty.highest(in: 1) == 0)
        #expect(empty.lastArrival == 0)
        #expect(empty.spans(of: 1).isEmpty)
        var late = Timeline()
        late.add(2, down: 5, up: 0)
        // A clock that went back is not believed.
        late.add(1, down: 9, up: 0)
        #expect(late.at == [2])
    }

    @Test(arguments: [
        (0.0, 5.0, 60.0), (54.9, 5.0, 60.0), (55.1, 5.0, 120.0), (119.0, 0.5, 120.0), (86_395.5, 5.0, 86_460.0),
    ])
    func aWindowClosesOnTheMinuteAndLeavesItsTime(_ now: Double, _ open: Double, _ end: Double) {
        #expect(WindowEnd.windowEnd(now: now, open: open) == end)
    }

    @Test(arguments: [
        (3600.0 * 13 + 60, "windows: [{from: \"12:01\", to: \"13:01\"}]"),
        (86_400.0, "windows: [{from: \"23:00\", to: \"00:00\"}]"),
        (86_400.0 + 60, "windows: [{from: \"23:01\", to: \"00:01\"}]"),
    ])
    func aWindowIsWrittenAsTheAgentReadsIt(_ end: Double, _ text: String) {
        #expect(WindowEnd.window(closing: end) == text)
    }
}

/// The counters of servers and of the kernel, as they show them.
@Suite(.timeLimit(.minutes(5))) struct TrafficTests {
    private let page = """
        # HELP registry_http_requests_total Total number of HTTP requests made.
        # TYPE registry_http_requests_total counter
        registry_http_requests_total{code="200",handler="base",method="get"} 3
        registry_http_requests_total{code="206",handler="blob",method="get"} 40
        registry_http_requests_total{code="404",handler="manifest",method="head"} 5
        registry_http_requests_total{code="429",handler="blob",method="get"} 2
        registry_http_requests_total{code="503",handler="blob",method="get"} 1
        registry_http_response_size_bytes_sum{handler="blob"} 1.048576e+06
        registry_http_response_size_bytes_count{handler="blob"} 40
        registry_http_in_flight_requests{handler="blob"} 7
        registry_storage_action_seconds_sum{action="GetContent",driver="filesystem"} 9.1e-05
        registry_http_requests_total{code="200",handler="odd"} NaN
        registry_http_requests_total
        """

    @Test func aRegistrysMetricsAreRead() {
        let counters = RegistryCounters(page)
        #expect(counters.requests == 51)
        // What is not there is an answer; what is refused is asked for again.
        #expect(counters.refused == 3)
        #expect(counters.bytesSent == 1 << 20)
        #expect(counters.inFlight == 7)
        #expect(RegistryCounters("no metrics at all") == RegistryCounters())
    }

    @Test func anObjectStoresMetricsAreRead() throws {
        let page = """
            # TYPE SeaweedFS_s3_request_total counter
            SeaweedFS_s3_request_total{bucket="rollcall",code="200",type="GET"} 500
            SeaweedFS_s3_request_total{bucket="rollcall",code="304",type="GET"} 40
            SeaweedFS_s3_request_total{bucket="rollcall",code="200",type="PUT"} 3
            SeaweedFS_s3_request_total{bucket="",code="412",type="PUT"} 1
            SeaweedFS_s3_request_seconds_count{bucket="rollcall",type="GET"} 540
            SeaweedFS_s3_bucket_traffic_sent_bytes_total{bucket="rollcall"} 2.048e+06
            SeaweedFS_filer_request_total{code="200",type="GET"} 9
            SeaweedFS_s3_request_total{odd} NaN
            """
        let counters = try #require(S3Counters(page))
        #expect(counters.requests == 544)
        #expect(counters.unchanged == 40)
        #expect(counters.writes == 4)
        #expect(counters.bytesSent == 2_048_000)
        #expect((counters - counters).requests == 0)
        #expect(S3Counters("no metrics at all") == nil)
    }

    @Test func theKernelsCountersAreRead() {
        let file = """
            Ip: Forwarding DefaultTTL
            Ip: 2 64
            Tcp: RtoAlgorithm ActiveOpens PassiveOpens RetransSegs
            Tcp: 1 20 33 571
            """
        #expect(TCPCounters(file).accepted == 33)
        #expect(TCPCounters(file).retransmitted == 571)
        #expect(TCPCounters("Tcp: RtoAlgorithm\n") == TCPCounters())
    }

    @Test func onlyEstablishedConnectionsToThePortCount() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
               1: 0100007F:0050 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 2
               2: 0100007F:0050 0100007F:C002 01 00000000:00000000 00:00000000 00000000     0        0 3
               3: 0100007F:0050 0100007F:C003 06 00000000:00000000 00:00000000 00000000     0        0 4
               4: 0100007F:C001 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 5
            """
        #expect(TCPCounters.established(to: 80, in: table) == 2)
        #expect(TCPCounters.established(to: 0xC001, in: table) == 1)
    }

    @Test func aRunIsCountedFromOneLookToTheNext() {
        let counters = RegistryCounters(page)
        let before = Stage.Counts(
            source: RegistryCounters(), destination: counters, far: TCPCounters(), near: TCPCounters())
        let after = Stage.Counts(
            source: counters, destination: counters, far: TCPCounters("Tcp: PassiveOpens RetransSegs\nTcp: 9 4\n"),
            near: TCPCounters("Tcp: PassiveOpens RetransSegs\nTcp: 1 2\n"))
        let traffic = after.since(before)
        #expect(traffic.sourceRequests == 51)
        #expect(traffic.siteRequests == 0)
        #expect(traffic.refused == 3)
        // The look itself is one of the nine.
        #expect(traffic.connections == 8)
        #expect(traffic.retransmitted == 6)
        #expect((traffic + traffic).connections == 16)
        // Of looks between these two each is another one.
        #expect(after.since(before, looks: 3).connections == 6)
        let loopback = Stage.Counts(source: counters, destination: counters, far: nil, near: nil)
        #expect(loopback.since(loopback).connections == nil)
    }
}
