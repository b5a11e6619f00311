import TestSupport
import Testing

@testable import Transfer

/// Connections that read as fast as the meter lets them, on a clock that is moved by hand.
private final class MeteredLink: @unchecked Sendable {
    /// An alarm that rings when the clock comes to its time, or later.
    private final class HandAlarm: Alarm, @unchecked Sendable {
        weak var link: MeteredLink?
        let ring: @Sendable () -> Void
        var time: Double?

        init(_ ring: @escaping @Sendable () -> Void) { self.ring = ring }

        func set(after seconds: Double) {
            guard let link else { return }
            time = link.now + seconds + Double.random(in: 0...link.lateness, using: &link.random)
        }
    }

    struct Connection {
        /// Bytes a second that its sender brings; what is not read stays with the sender, but for a buffer.
        let speed: Double
        var available = 0.0
        var updated = 0.0
        var taken = 0
        var isWaiting = false
    }

    var now = 0.0
    var unixTime: Int64 = 1_800_000_000
    var random = SeededGenerator(seed: 3)
    let lateness: Double
    var connections: [Connection]
    var arrivals: [(time: Double, bytes: Int)] = []
    var wakeUps = 0
    private var alarm: HandAlarm?
    private var flows: [MeteredFlow] = []
    private let rate: Int64?
    private let windows: TransferWindows
    private(set) lazy var meter = SiteMeter(
        rate: rate, windows: windows, clock: { self.now }, unixTime: { self.unixTime },
        makeAlarm: { ring in
            let alarm = HandAlarm(ring)
            alarm.link = self
            self.alarm = alarm
            return alarm
        })

    static let piece = 16 << 10
    /// What connections read at once.
    let piece: Int

    init(
        rate: Int64?, piece: Int = MeteredLink.piece, windows: TransferWindows = TransferWindows(), speeds: [Double],
        lateness: Double = 0
    ) {
        self.lateness = lateness
        self.piece = piece
        connections = speeds.map { Connection(speed: $0) }
        self.rate = rate
        self.windows = windows
        flows = connections.indices.map { index in
            MeteredFlow { [unowned self] in
                wakeUps += 1
                connections[index].isWaiting = false
            }
        }
    }

    var alarmTime: Double? { alarm?.time }
    var isAlarmSet: Bool { alarmTime != nil }

    func ask(_ index: Int) -> ByteMeterAnswer { meter.admit(piece, of: flows[index]) }

    func ring() {
        alarm?.time = nil
        alarm?.ring()
    }

    /// Lets all connections read until a time.
    func run(until end: Double, step: Double = 0.0005) {
        while now < end {
            now += step
            if let time = alarm?.time, time <= now { ring() }
            for index in connections.indices { read(index) }
        }
    }

    private func read(_ index: Int) {
        var connection: Connection { connections[index] }
        // What lies in the socket's buffer when nobody reads is bounded.
        connections[index].available = min(
            262_144, connection.available + connection.speed * (now - connection.updated))
        connections[index].updated = now
        while !connection.isWaiting, connection.available >= Double(piece) {
            switch ask(index) {
            case .now:
                connections[index].available -= Double(piece)
                connections[index].taken += piece
                arrivals.append((now, piece))
            case .later: connections[index].isWaiting = true
            case .stop: return
            }
        }
    }

    /// The most bytes of any second.
    var busiestSecond: Int {
        var most = 0
        var sum = 0
        var first = 0
        for (time, bytes) in arrivals {
            sum += bytes
            while arrivals[first].time <= time - 1 {
                sum -= arrivals[first].bytes
                first += 1
            }
            most = max(most, sum)
        }
        return most
    }
}

@Suite struct SiteMeterTests {
    struct Load: Sendable, CustomTestStringConvertible {
        let rate: Int64
        let speeds: [Double]
        /// How late the alarm rings at most, in seconds.
        var lateness = 0.0
        var seconds = 6.0
        /// The clock's step, in seconds.
        var step = 0.0005
        var testDescription: String { "\(rate) B/s, \(speeds.count) connections, \(lateness) s" }
    }

    private static func even(_ count: Int, _ speed: Double) -> [Double] { [Double](repeating: speed, count: count) }

    private static let loads = [
        Load(rate: 25_000_000, speeds: even(1, 1e9)),
        Load(rate: 25_000_000, speeds: even(8, 1e9)),
        Load(rate: 25_000_000, speeds: even(64, 1e9)),
        // Twice the cap together, each a little above its share.
        Load(rate: 25_000_000, speeds: even(64, 781_250)),
        // Some that bring little, and one that brings much.
        Load(rate: 25_000_000, speeds: even(31, 100_000) + [1e9]),
        Load(rate: 25_000_000, speeds: even(64, 1e9), lateness: 0.02),
        Load(rate: 1_000_000, speeds: even(16, 1e8)),
        Load(rate: 400_000, speeds: even(16, 1e8)),
        Load(rate: 8_000, speeds: even(4, 1e8), seconds: 400, step: 0.01),
        Load(rate: 1_250_000_000, speeds: even(64, 1e9), seconds: 3),
    ]

    @Test(arguments: loads)
    func keepsTheRate(_ load: Load) {
        var limits = TransferLimits()
        limits.rate = load.rate
        let piece = min(MeteredLink.piece, limits.readSize)
        let link = MeteredLink(rate: load.rate, piece: piece, speeds: load.speeds, lateness: load.lateness)
        link.run(until: load.seconds, step: load.step)
        let taken = Double(link.connections.reduce(0) { $0 + $1.taken })
        let allowed = Double(load.rate) * load.seconds
        #expect(taken <= allowed * 1.03 + Double(piece))
        #expect(taken >= allowed * 0.97 - Double(piece))
        // A piece is taken whole, and has 1 KiB at least: below 20 kB/s that is more than a twentieth of a second's bytes.
        let burst = max(0.1 * Double(load.rate), 0.05 * Double(load.rate) + Double(piece))
        #expect(Double(link.busiestSecond) <= Double(load.rate) + burst)
    }

    /// Those that want as much as they can have get equal shares.
    @Test(arguments: [2, 16, 64])
    func isFair(connections: Int) {
        let link = MeteredLink(rate: 25_000_000, speeds: Self.even(connections, 1e9))
        link.run(until: 5)
        let share = 125_000_000 / Double(connections)
        for connection in link.connections {
            #expect(abs(Double(connection.taken) - share) < 0.1 * share)
        }
    }

    /// One that brings less than its share gets all of it through, however greedy the others are.
    @Test func theSlowAreNotHeldBack() {
        let link = MeteredLink(rate: 25_000_000, speeds: [200_000] + Self.even(31, 1e9))
        link.run(until: 4)
        #expect(Double(link.connections[0].taken) > 0.9 * 200_000 * 4)
    }

    /// Wake-ups grow with the rate, not with the connections; and nobody is woken to find that it has to wait again.
    @Test(arguments: [4, 64, 256])
    func wakesFew(connections: Int) {
        let link = MeteredLink(rate: 25_000_000, speeds: Self.even(connections, 1e9))
        link.run(until: 4)
        #expect(link.wakeUps < 4 * 250)
    }

    /// After a silence there is no more than a twentieth of a second's worth of bytes to catch up.
    @Test func aSilenceIsNotSaved() {
        let link = MeteredLink(rate: 25_000_000, speeds: Self.even(8, 1e9))
        link.run(until: 2)
        link.now += 60
        let before = link.arrivals.count
        link.run(until: 63)
        let bytes = (link.arrivals.count - before) * MeteredLink.piece
        #expect(Double(bytes) <= 1.06 * 25_000_000)
    }

    /// A connection that ended while it waited keeps nobody from reading.
    @Test func theDeadDoNotHoldUpTheLiving() {
        let link = MeteredLink(rate: 1_000_000, speeds: Self.even(64, 1e9))
        link.run(until: 1)
        // All but one are gone: they do not come back when they are woken.
        for index in 1..<64 { link.connections[index].available = -.infinity }
        let before = link.connections[0].taken
        link.run(until: 11)
        #expect(Double(link.connections[0].taken - before) > 0.97 * 10_000_000)
    }

    /// Those that come while others wait do not put off the moment at which those are let on.
    @Test func newcomersDoNotPutOffTheAlarm() throws {
        let link = MeteredLink(rate: 1_000_000, speeds: Self.even(8, 1e9))
        #expect(link.ask(0) == .now)
        #expect(link.ask(0) == .later)
        let time = try #require(link.alarmTime)
        for index in 1..<8 {
            link.now += 0.01
            #expect(link.ask(index) == .later)
            #expect(link.alarmTime == time)
        }
    }

    @Test func manifestsCount() {
        let link = MeteredLink(rate: 1_000_000, speeds: Self.even(1, 1e9))
        #expect(link.meter.admit(2_000_000, of: MeteredFlow {}) == .now)
        link.run(until: 3)
        #expect(link.connections[0].taken <= 1_050_000 + MeteredLink.piece)
        #expect(link.connections[0].taken >= 970_000)
    }

    @Test func withoutACapNobodyWaits() {
        let link = MeteredLink(rate: nil, speeds: Self.even(4, 1e8))
        link.run(until: 1)
        #expect(link.wakeUps == 0)
        #expect(!link.isAlarmSet)
        #expect(link.arrivals.count > 4 * 90_000_000 / MeteredLink.piece)
    }

    // MARK: Windows

    /// Every day from 08:00 to 09:00 UTC; 1 800 000 000 is 2027-01-15 08:00.
    private static let hour = TransferWindows(
        windows: [.init(days: Set(Weekday.allCases), from: 8 * 60, to: 9 * 60)])
    private static let end: Int64 = 1_800_003_600

    @Test(arguments: [nil, 1_000_000] as [Int64?])
    func takesNothingAfterTheEndOfAWindow(rate: Int64?) throws {
        let link = MeteredLink(rate: rate, windows: Self.hour, speeds: Self.even(4, 1e9))
        link.now = 1
        link.unixTime = Self.end - 1
        #expect(link.ask(0) == .now)
        // Some wait for their turn.
        while link.ask(1) == .now, rate != nil {}
        link.unixTime = Self.end
        #expect(link.ask(0) == .stop)
        #expect(link.ask(2) == .stop)
        guard case .stopped(let pause) = link.meter.standing else {
            Issue.record("open after its end")
            return
        }
        #expect(pause.reason == .window)
        #expect(pause.until == Self.end + 23 * 3600)
        #expect("\(pause)" == "no transfer window is open until 2027-01-16 08:00 UTC")
        // Those that waited are told.
        if rate != nil {
            link.ring()
            #expect(link.wakeUps == 1)
            #expect(link.ask(1) == .stop)
        }
        link.unixTime = pause.until
        link.now += 1
        #expect(link.meter.standing == .open)
        #expect(link.ask(0) == .now)
    }

    /// A pause that ends soon is waited out; the machine's clock is looked at again meanwhile.
    @Test func holdsConnectionsOverAShortPause() {
        let link = MeteredLink(rate: nil, windows: Self.hour, speeds: Self.even(2, 1e9))
        link.unixTime = 1_800_000_000 - SiteMeter.hold - 1
        #expect(link.ask(0) == .stop)
        link.unixTime += 1
        #expect(link.ask(0) == .later)
        #expect(link.ask(1) == .later)
        #expect(link.isAlarmSet)
        link.ring()
        #expect(link.wakeUps == 0)
        #expect(link.isAlarmSet)
        link.unixTime = 1_800_000_000
        link.ring()
        #expect(link.wakeUps == 2)
        #expect(link.ask(0) == .now)
        #expect(link.ask(1) == .now)
    }

    /// A clock that is set back or forward is believed.
    @Test func followsTheClock() {
        let link = MeteredLink(rate: nil, windows: Self.hour, speeds: [1e9])
        #expect(link.ask(0) == .now)
        link.unixTime -= 3600
        #expect(link.ask(0) == .stop)
        link.unixTime += 3600 + 60
        #expect(link.ask(0) == .now)
        link.unixTime += 86_400 * 400 + 3600
        #expect(link.ask(0) == .stop)
    }

    // MARK: Quotas

    @Test func takesNothingOverTheQuota() async throws {
        try await withTemporaryDirectory { directory in
            let time = Recorded<Int64>(1_800_000_000)
            let quota: Int64 = 1 << 20
            let ledger = try ByteLedger(
                path: directory.file("ledger.sqlite"), quotas: .init(perDay: quota), timeZone: .utc, now: time.value)
            let meter = SiteMeter(
                rate: nil, windows: Self.hour, ledger: ledger, clock: { 0 }, unixTime: { time.value })
            let flow = MeteredFlow {}
            func taken() -> Int64 {
                var bytes: Int64 = 0
                while meter.admit(MeteredLink.piece - 1, of: flow) == .now { bytes += Int64(MeteredLink.piece - 1) }
                return bytes
            }
            let first = taken()
            #expect(quota - Int64(MeteredLink.piece) <= first)
            #expect(first <= quota)
            #expect(ledger.bytes(at: time.value).day == first)
            // The next window is open before the day's quota begins anew, so it is the quota that is named.
            guard case .stopped(let pause) = meter.standing else {
                Issue.record("open after the quota")
                return
            }
            #expect(pause.reason == .quotaPerDay)
            time.update { $0 = pause.until }
            // Midnight: now it is the window that is missing.
            guard case .stopped(let second) = meter.standing else {
                Issue.record("open outside the window")
                return
            }
            #expect(second.reason == .window)
            time.update { $0 = second.until }
            #expect(taken() == first)
        }
    }
}
