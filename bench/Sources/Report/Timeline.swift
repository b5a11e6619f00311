/// What a link had carried at some moments of a run, as TCP payload.
struct Timeline: Codable, Hashable {
    /// Seconds since the run's start, ascending.
    private(set) var at: [Double] = []
    /// Bytes that had come to the site by then.
    private(set) var down: [Int] = []
    /// Bytes that had gone the other way.
    private(set) var up: [Int] = []

    /// Notes what has been carried by a moment that is not before the last one.
    mutating func add(_ moment: Double, down: Int, up: Int) {
        guard moment >= (at.last ?? 0) else { return }
        at.append(moment)
        self.down.append(down)
        self.up.append(up)
    }

    /// Bytes that had come to the site by a moment, as if they came evenly between two samples.
    func carried(by moment: Double) -> Double {
        guard let first = at.first, let last = down.last, moment > first else { return Double(down.first ?? 0) }
        guard let next = at.firstIndex(where: { $0 >= moment }) else { return Double(last) }
        let span = at[next] - at[next - 1]
        let share = span > 0 ? (moment - at[next - 1]) / span : 1
        return Double(down[next - 1]) + share * Double(down[next] - down[next - 1])
    }

    /// The moment by which so many bytes had come to the site.
    func moment(carrying bytes: Double) -> Double {
        guard let next = down.firstIndex(where: { Double($0) >= bytes }) else { return at.last ?? 0 }
        guard next > 0 else { return at[next] }
        let step = Double(down[next] - down[next - 1])
        return at[next - 1] + (at[next] - at[next - 1]) * (step > 0 ? (bytes - Double(down[next - 1])) / step : 1)
    }

    /// The most bytes that came to the site within any span of so many seconds that lies after a moment.
    func highest(in seconds: Double, after start: Double = 0) -> Double {
        let starts = at + at.map { $0 - seconds }
        return starts.filter { $0 >= start }.map { carried(by: $0 + seconds) - carried(by: $0) }.max() ?? 0
    }

    /// Bytes a second, from when the first twentieth had come to when the last one began: without what starts and ends.
    var steadyRate: Double {
        let (first, last) = (Double(down.first ?? 0), Double(down.last ?? 0))
        let start = moment(carrying: first + (last - first) * 0.05)
        let end = moment(carrying: first + (last - first) * 0.95)
        return end > start ? (last - first) * 0.9 / (end - start) : 0
    }

    /// When the last bytes came.
    var lastArrival: Double {
        guard let last = down.last, let index = down.firstIndex(of: last) else { return 0 }
        return at[index]
    }

    /// Bytes that came to the site in each span of so many seconds, for a curve.
    func spans(of seconds: Double) -> [Double] {
        guard let end = at.last, seconds > 0, end / seconds < 1e6 else { return [] }
        return (0..<Int((end / seconds).rounded(.up))).map {
            carried(by: Double($0 + 1) * seconds) - carried(by: Double($0) * seconds)
        }
    }
}
