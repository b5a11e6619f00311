extension Report {
    /// The figures as Markdown: the tables of each scenario.
    ///
    /// - Parameter withPlots: whether the plots are shown, which lie beside the file
    func markdown(withPlots: Bool = false) -> String {
        let state = isComplete ? "" : "**Stopped before its end:** what follows is what had been measured.\n\n"
        let missing = omitted.sorted { $0.key < $1.key }.map { "- \($0.key) was not measured: \($0.value)\n" }.joined()
        var origin = ""
        if let build { origin = "Rollcall: " + (commit.map { "commit \($0), " } ?? "") + "a \(build) build.\n\n" }
        return "Measured \(date) on \(machine.text).\n\n" + origin + state + (missing.isEmpty ? "" : missing + "\n")
            + scenarios.map { scenario in
                "### \(scenario.name): \(scenario.summary)\n\n\(scenario.introduction)\n\n\(scenario.tables)\n\n"
                    + scenario.tools.map { "- \($0.tool): \($0.version); `\($0.command)`" }.joined(separator: "\n")
                    + "\n"
                    + (withPlots ? scenario.plots.map { "\n![\($0.title)](\($0.name))\n" }.joined() : "")
            }.joined(separator: "\n")
    }
}

extension ScenarioFigures {
    /// What was measured, in a sentence or two.
    var introduction: String {
        var text = "\(images) \(images == 1 ? "image" : "images"), \(blobs) blobs, \(bytesText(bytes)); "
        if !isTransfer {
            text += "nothing is transferred"
        } else if let link {
            text += link.text + ", \(settings["tcp_congestion_control"] ?? "unknown congestion control")"
            if let forwarderCPU {
                text += "; the emulation took up to \(fixed(forwarderCPU * 100, 0)) % of a processor"
            }
        } else {
            text += "loopback"
        }
        if let fileSystem { text += "; files on \(fileSystem)" }
        if let load = Spread(runs.compactMap(\.load)) {
            text += "; load before each run \(fixed(load.minimum, 1)) to \(fixed(load.maximum, 1))"
        }
        return text + ". Limit: \(limit.map { "\(fixed($0, 2)) s, " } ?? "")\(limitReason)."
    }

    /// The tools' figures: times, what went over the wire, and what only this scenario has.
    var tables: String {
        [table, wireTable, readingsTable].compactMap(\.self).joined(separator: "\n\n")
    }

    /// The tools' times and means.
    var table: String {
        let header = [
            "tool", "runs", "wall s: median (min to max)", "to best peer", "to limit", "CPU s", "memory MiB",
            "registries' CPU s", "fetched / needed",
        ]
        return Self.table(header, tools.map { cells(of: $0) })
    }

    /// What each tool asked and what moved for it; `nil` where nothing counts that.
    var wireTable: String? {
        let counted = tools.filter { $0.sourceRequests != nil }
        guard !counted.isEmpty else { return nil }
        let header = [
            "tool", "MiB to the site", "MiB from it", "connections", "requests to the source", "to the site's registry",
            "refused, to be tried again", "TCP retransmissions",
        ]
        func number(_ spread: Spread?, _ scale: Double = 1, _ decimals: Int = 0) -> String {
            spread.map { fixed($0.median / scale, decimals) } ?? ""
        }
        return Self.table(
            header,
            counted.map { tool in
                [
                    tool.tool, number(tool.down, 0x1p20, 1), number(tool.up, 0x1p20, 1), number(tool.connections),
                    number(tool.sourceRequests), number(tool.siteRequests), number(tool.refused),
                    number(tool.retransmitted),
                ]
            })
    }

    /// The figures that only this scenario has; `nil` where there are none.
    var readingsTable: String? {
        let names = Set(tools.flatMap(\.readings.keys)).sorted()
        guard !names.isEmpty else { return nil }
        return Self.table(
            ["tool"] + names,
            tools.map { tool in
                [tool.tool]
                    + names.map { name in
                        guard let spread = tool.readings[name] else { return "" }
                        let range = "\(fixed(spread.minimum, 3)) to \(fixed(spread.maximum, 3))"
                        return spread.minimum == spread.maximum
                            ? fixed(spread.median, 3) : "\(fixed(spread.median, 3)) (\(range))"
                    }
            })
    }

    /// A table that is Markdown and reads well on a terminal.
    static func table(_ header: [String], _ rows: [[String]]) -> String {
        let rows = rows.map { $0.map { $0.replacing("|", with: "/") } }
        let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
        func line(_ cells: [String]) -> String {
            let padded = zip(cells, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return "| \(padded.joined(separator: " | ")) |"
        }
        let rule = widths.map { String(repeating: "-", count: $0) }
        return ([header, rule] + rows).map(line).joined(separator: "\n")
    }

    private func cells(of tool: ToolSummary) -> [String] {
        var wall = String((tool.note ?? "failed").prefix(90))
        if let spread = tool.wall {
            wall = "\(fixed(spread.median, 2)) (\(fixed(spread.minimum, 2)) to \(fixed(spread.maximum, 2)))"
        }
        func ratio(_ value: Double?) -> String { value.map { "\(fixed($0, 2))x" } ?? "" }
        func seconds(_ spread: Spread?) -> String { spread.map { fixed($0.median, 2) } ?? "" }
        return [
            tool.tool,
            tool.good == tool.runs ? "\(tool.runs)" : "\(tool.good) of \(tool.runs)",
            wall, ratio(tool.toBestPeer), ratio(tool.toLimit), seconds(tool.cpu),
            tool.peakMemory.map { fixed($0.maximum / 0x1p20, 0) } ?? "", seconds(tool.serverCPU),
            tool.fetched.map { "\(fixed($0.median, 3)) (max \(fixed($0.maximum, 3)))" } ?? "",
        ]
    }
}
