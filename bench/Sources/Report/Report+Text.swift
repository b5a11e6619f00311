extension Report {
    /// The figures as Markdown: one table for each scenario.
    var markdown: String {
        "Measured \(date) on \(machine.text).\n\n"
            + scenarios.map { scenario in
                "### \(scenario.name): \(scenario.summary)\n\n\(scenario.introduction)\n\n\(scenario.table)\n\n"
                    + scenario.tools.map { "- \($0.tool): \($0.version); `\($0.command)`" }.joined(separator: "\n")
                    + "\n"
            }.joined(separator: "\n")
    }
}

extension ScenarioFigures {
    /// What was measured, in a sentence or two.
    var introduction: String {
        var text = "\(images) \(images == 1 ? "image" : "images"), \(blobs) blobs, \(bytesText(bytes)); "
        if name == GateFleet.name {
            text += "nothing is transferred"
        } else if let link {
            text += link.text + ", \(settings["tcp_congestion_control"] ?? "unknown congestion control")"
            if let forwarderCPU {
                text += "; the emulation took up to \(fixed(forwarderCPU * 100, 0)) % of a processor"
            }
        } else {
            text += "loopback"
        }
        return text + ". Limit: \(limit.map { "\(fixed($0, 2)) s, " } ?? "")\(limitReason)."
    }

    /// The tools' figures as a table that is Markdown and reads well on a terminal.
    var table: String {
        let header = [
            "tool", "runs", "wall s: median (min to max)", "to best peer", "to limit", "CPU s", "memory MiB",
            "registries' CPU s", "fetched / needed",
        ]
        let rows = tools.map { tool in cells(of: tool).map { $0.replacing("|", with: "/") } }
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
