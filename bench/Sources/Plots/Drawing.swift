/// A drawing as SVG 1.1: shapes and words on a white ground, in points from the upper left corner. A pure value.
struct Drawing {
    /// How words stand to their point.
    enum Anchor: String { case start, middle, end }

    let width: Double
    let height: Double
    private var elements: [String] = []

    /// - Parameters:
    ///   - width: points
    ///   - height: points
    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    /// A straight line.
    mutating func line(
        _ start: (Double, Double), _ end: (Double, Double), _ colour: String, thickness: Double = 1,
        dashed: Bool = false
    ) {
        elements.append(
            "<line x1=\"\(number(start.0))\" y1=\"\(number(start.1))\" x2=\"\(number(end.0))\" y2=\"\(number(end.1))\" "
                + "stroke=\"\(colour)\" stroke-width=\"\(number(thickness))\"\(dashed ? " stroke-dasharray=\"5 3\"" : "")/>"
        )
    }

    /// Lines from point to point.
    mutating func path(_ points: [(Double, Double)], _ colour: String) {
        guard points.count > 1 else { return }
        let list = points.map { "\(number($0.0)),\(number($0.1))" }.joined(separator: " ")
        elements.append(
            "<polyline points=\"\(list)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\" "
                + "stroke-linejoin=\"round\"/>")
    }

    /// A filled rectangle.
    mutating func box(_ x: Double, _ y: Double, _ width: Double, _ height: Double, _ colour: String) {
        elements.append(
            "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(max(0, width)))\" "
                + "height=\"\(number(max(0, height)))\" fill=\"\(colour)\"/>")
    }

    /// Words, of any content.
    mutating func words(
        _ text: String, at point: (Double, Double), _ anchor: Anchor = .start, size: Double = 12, isBold: Bool = false,
        colour: String = "#222222"
    ) {
        elements.append(
            "<text x=\"\(number(point.0))\" y=\"\(number(point.1))\" text-anchor=\"\(anchor.rawValue)\" "
                + "font-size=\"\(number(size))\"\(isBold ? " font-weight=\"bold\"" : "") fill=\"\(colour)\">"
                + "\(Self.escaped(text))</text>")
    }

    /// The file's text.
    var svg: String {
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <svg xmlns="http://www.w3.org/2000/svg" width="\(number(width))" height="\(number(height))" \
        viewBox="0 0 \(number(width)) \(number(height))" font-family="Helvetica, Arial, sans-serif">
        <rect width="100%" height="100%" fill="#ffffff"/>
        \(elements.joined(separator: "\n"))
        </svg>

        """
    }

    /// Text as XML has it; what XML cannot hold is left out.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case _ where scalar.value >= 0x20 && scalar.value != 0xFFFE && scalar.value != 0xFFFF:
                result.unicodeScalars.append(scalar)
            default: result += " "
            }
        }
        return result
    }

    private func number(_ value: Double) -> String {
        let text = fixed(value.isFinite ? value : 0, 1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}

/// A scale from values to points, with round numbers along it.
struct Scale {
    /// The value at the far end; the near one is 0.
    let maximum: Double
    /// The values that are named along the scale.
    let ticks: [Double]
    /// Decimals that the ticks need.
    let decimals: Int

    /// - Parameter highest: the highest value that has to have room
    init(_ highest: Double) {
        let highest = highest.isFinite && highest > 0 ? min(highest, 1e15) : 1
        // 1, 2 or 5 times a power of ten, so that there are four to ten of them.
        var power = 1.0
        while power * 10 <= highest { power *= 10 }
        while power > highest { power /= 10 }
        let step = [0.1, 0.2, 0.5, 1, 2].map { $0 * power }.first { highest / $0 <= 8 } ?? power * 2
        let count = Int((highest / step - 1e-9).rounded(.up))
        maximum = step * Double(max(1, count))
        ticks = (0...max(1, count)).map { Double($0) * step }
        var decimals = 0
        var unit = step
        while unit < 0.999, decimals < 6 {
            unit *= 10
            decimals += 1
        }
        self.decimals = decimals
    }
}

/// Colours that people who see few colours can tell apart (Okabe and Ito, 2008), in the order in which they are used.
enum Palette {
    static let series = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999", "#b8a800"]
    static let grid = "#dddddd"
    static let axis = "#555555"
    static let limit = "#aa0000"

    static func colour(_ index: Int) -> String { series[index % series.count] }
}
