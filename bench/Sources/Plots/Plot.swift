/// The kinds of plots that a report has. Pure functions from figures to drawings.
enum Plot {
    /// Values over seconds.
    struct Curve {
        let name: String
        let points: [(x: Double, y: Double)]
    }

    /// One tool's bar: parts on top of each other, and how far runs were apart.
    struct Bar {
        let name: String
        let parts: [Double]
        var range: (Double, Double)?
    }

    private static let width = 760.0

    /// Curves over a common time, with a limit that none can be above.
    ///
    /// - Parameters:
    ///   - title: what is shown
    ///   - unit: of the values
    ///   - limit: the limit and its name
    ///   - curves: eight at most have colours of their own
    static func curves(_ title: String, unit: String, limit: (name: String, value: Double)?, _ curves: [Curve])
        -> String
    {
        let (left, top, bottom) = (60.0, 40.0, 260.0)
        let plot = width - left - 20
        let points = curves.flatMap(\.points)
        let x = Scale(points.map(\.x).max() ?? 1)
        let y = Scale(max(points.map(\.y).max() ?? 1, limit?.value ?? 0))
        var drawing = Drawing(width: width, height: bottom + 44 + 18 * Double((curves.count + 2) / 2))
        drawing.words(title, at: (left, 22), size: 14, isBold: true)
        func at(_ point: (x: Double, y: Double)) -> (Double, Double) {
            (left + point.x / x.maximum * plot, bottom - point.y / y.maximum * (bottom - top))
        }
        for tick in y.ticks {
            let height = at((0, tick)).1
            drawing.line((left, height), (left + plot, height), Palette.grid)
            drawing.words(fixed(tick, y.decimals), at: (left - 6, height + 4), .end, size: 11)
        }
        for tick in x.ticks {
            let place = at((tick, 0)).0
            drawing.line((place, bottom), (place, bottom + 4), Palette.axis)
            drawing.words(fixed(tick, x.decimals), at: (place, bottom + 16), .middle, size: 11)
        }
        drawing.line((left, bottom), (left + plot, bottom), Palette.axis)
        drawing.words(unit, at: (left - 44, 34), size: 11)
        drawing.words("s", at: (left + plot + 12, bottom + 16), size: 11)
        for (index, curve) in curves.enumerated() { drawing.path(curve.points.map(at), Palette.colour(index)) }
        var names = curves.enumerated().map { ($1.name, Palette.colour($0)) }
        if let limit {
            drawing.line(at((0, limit.value)), at((x.maximum, limit.value)), Palette.limit, dashed: true)
            names.append((limit.name, Palette.limit))
        }
        legend(&drawing, names, at: bottom + 38, left: left)
        return drawing.svg
    }

    /// Lying bars, one under the other.
    ///
    /// - Parameters:
    ///   - title: what is shown
    ///   - unit: of the values
    ///   - parts: the names of the bars' parts; one part needs no name
    ///   - limit: a value that none can be below, and its name
    ///   - bars: the bars, the first on top
    static func bars(
        _ title: String, unit: String, parts: [String] = [], limit: (name: String, value: Double)? = nil, _ bars: [Bar]
    ) -> String {
        let (left, top, step) = (230.0, 40.0, 30.0)
        let plot = width - left - 80
        let bottom = top + step * Double(bars.count)
        let highest = bars.map { max($0.parts.reduce(0, +), $0.range?.1 ?? 0) }.max() ?? 1
        let x = Scale(max(highest, limit?.value ?? 0))
        let names =
            parts.enumerated().map { ($1, Palette.colour($0)) } + (limit.map { [($0.name, Palette.limit)] } ?? [])
        var drawing = Drawing(
            width: width, height: bottom + 30 + (names.isEmpty ? 0 : 14 + 18 * Double((names.count + 1) / 2)))
        drawing.words(title, at: (20, 22), size: 14, isBold: true)
        func place(_ value: Double) -> Double { left + value / x.maximum * plot }
        for tick in x.ticks {
            drawing.line((place(tick), top), (place(tick), bottom), Palette.grid)
            drawing.words(fixed(tick, x.decimals), at: (place(tick), bottom + 16), .middle, size: 11)
        }
        drawing.words(unit, at: (left + plot + 24, bottom + 16), size: 11)
        for (index, bar) in bars.enumerated() {
            let upper = top + step * Double(index) + 5
            drawing.words(shortened(bar.name), at: (left - 8, upper + 14), .end)
            var sum = 0.0
            for (part, value) in bar.parts.enumerated() {
                drawing.box(
                    place(sum), upper, place(sum + value) - place(sum), step - 10,
                    Palette.colour(parts.isEmpty ? index : part))
                sum += value
            }
            if let range = bar.range, range.1 > range.0 {
                let middle = upper + (step - 10) / 2
                drawing.line((place(range.0), middle), (place(range.1), middle), "#000000", thickness: 1.5)
                for end in [range.0, range.1] {
                    drawing.line((place(end), middle - 5), (place(end), middle + 5), "#000000", thickness: 1.5)
                }
            }
            drawing.words(
                fixed(sum, sum < 10 ? 2 : sum < 100 ? 1 : 0), at: (place(max(sum, bar.range?.1 ?? 0)) + 5, upper + 14),
                size: 11)
        }
        drawing.line((left, top), (left, bottom), Palette.axis)
        if let limit {
            drawing.line((place(limit.value), top - 4), (place(limit.value), bottom), Palette.limit, dashed: true)
        }
        legend(&drawing, names, at: bottom + 38, left: 20)
        return drawing.svg
    }

    /// Names with their colours, two in a line.
    private static func legend(_ drawing: inout Drawing, _ names: [(String, String)], at top: Double, left: Double) {
        for (index, name) in names.enumerated() {
            let x = left + (width - left) / 2 * Double(index % 2)
            let y = top + 18 * Double(index / 2)
            drawing.box(x, y - 4, 18, 4, name.1)
            drawing.words(name.0, at: (x + 24, y + 2), size: 11)
        }
    }

    private static func shortened(_ name: String) -> String {
        name.count <= 34 ? name : name.prefix(33) + "…"
    }
}
