import FoundationEssentials
import Glibc

extension RealS3 {
    /// The programs, each with the Debian package that it comes from.
    private static let programs = [
        ("ceph-mon", "ceph-mon"), ("ceph-osd", "ceph-osd"), ("monmaptool", "ceph-base"), ("osdmaptool", "ceph-base"),
        ("radosgw", "radosgw"), ("radosgw-admin", "radosgw"),
    ]

    /// Starts a monitor, an OSD that keeps everything in memory, and the gateway: no manager, no authentication between
    /// them, no root, and nothing outside the directory.
    ///
    /// - Parameters:
    ///   - directory: where configuration, maps and logs go
    ///   - ports: the monitor's port, then the gateway's
    static func startCeph(in directory: TemporaryDirectory, _ ports: [Int]) async throws -> [ChildProcess] {
        for (program, package) in programs where access("/usr/bin/\(program)", X_OK) != 0 {
            throw TestSupportError(
                "/usr/bin/\(program) is missing: run scripts/test, which installs Ceph's RADOS gateway, or install \(package)"
            )
        }
        let identifier = "3f0b5a6e-8d5f-4b0c-9f6e-1c2d3e4f5a6b"
        for part in ["mon", "osd", "run", "crash"] {
            try FileManager.default.createDirectory(
                atPath: directory.file(part), withIntermediateDirectories: false)
        }
        let configuration = try directory.write(
            "ceph.conf", cephConfiguration(identifier, directory, monitor: ports[0], gateway: ports[1]))
        let monitors = directory.file("monmap")
        let osds = directory.file("osdmap")
        // Both maps are complete before anything starts, so that no command has to be sent to the cluster.
        try await run([
            "monmaptool", "--create", "--fsid", identifier, "--addv", "a", "[v2:127.0.0.1:\(ports[0])]", monitors,
        ])
        try await run(["osdmaptool", osds, "--createsimple", "1", "--with-default-pool"])
        try await run(["ceph-mon", "-c", configuration, "--mkfs", "-i", "a", "--monmap", monitors, "--osdmap", osds])
        var processes: [ChildProcess] = []
        do {
            processes.append(try start("mon", ["ceph-mon", "-c", configuration, "-f", "-i", "a"], directory))
            try await run(["ceph-osd", "-c", configuration, "--mkfs", "-i", "0"])
            processes.append(try start("osd", ["ceph-osd", "-c", configuration, "-f", "-i", "0"], directory))
            // Waits for the cluster by itself.
            try await run([
                "radosgw-admin", "-c", configuration, "user", "create", "--uid", "test", "--display-name", "test",
                "--access-key", accessKey, "--secret-key", secretKey,
            ])
            processes.append(
                try start("rgw", ["radosgw", "-c", configuration, "-f", "-n", "client.rgw"], directory))
        } catch {
            for process in processes { process.signal(SIGKILL) }
            throw error
        }
        return processes
    }

    private static func start(
        _ name: String, _ command: [String], _ directory: TemporaryDirectory
    ) throws -> ChildProcess {
        try ChildProcess(command, output: directory.file("\(name).out"), errors: directory.file("\(name).out"))
    }

    private static func run(_ command: [String]) async throws {
        let result = try await runCommand(command, timeout: 240)
        guard result.status == 0 else {
            throw TestSupportError("\(command.joined(separator: " ")): \(result.errorText)\(result.text)")
        }
    }

    private static func cephConfiguration(
        _ identifier: String, _ directory: TemporaryDirectory, monitor: Int, gateway: Int
    ) -> String {
        """
        [global]
        fsid = \(identifier)
        mon_host = v2:127.0.0.1:\(monitor)
        auth_cluster_required = none
        auth_service_required = none
        auth_client_required = none
        public_addr = 127.0.0.1
        cluster_addr = 127.0.0.1
        run_dir = \(directory.file("run"))
        crash_dir = \(directory.file("crash"))
        admin_socket =
        log_file = \(directory.path)/$name.log
        mon_cluster_log_file = \(directory.file("cluster.log"))
        osd_pool_default_size = 1
        osd_pool_default_min_size = 1
        osd_pool_default_pg_num = 1
        osd_pool_default_pgp_num = 1
        osd_pool_default_pg_autoscale_mode = off
        osd_crush_chooseleaf_type = 0
        mon_allow_pool_size_one = true
        mon_max_pg_per_osd = 5000
        [mon]
        mon_data = \(directory.file("mon"))
        mon_data_avail_crit = 0
        # Each change of the cluster waits for these: 15 seconds to start with the defaults, 1 with these.
        paxos_propose_interval = 0.01
        paxos_min_wait = 0.005
        [osd]
        osd_data = \(directory.file("osd"))
        osd_objectstore = memstore
        osd_crush_update_on_start = false
        [client]
        # Without it radosgw waits for ever for a monitor that knows no keys.
        ms_mon_client_mode = crc
        # 45 ms for each small answer without tcp_nodelay.
        rgw_frontends = beast endpoint=127.0.0.1:\(gateway) tcp_nodelay=1
        rgw_data = \(directory.file("rgw"))
        rgw_dns_name = localhost
        rgw_override_bucket_index_max_shards = 1
        rgw_gc_max_objs = 1
        rgw_lc_max_objs = 1
        rgw_enable_gc_threads = false
        rgw_enable_lc_threads = false
        rgw_enable_quota_threads = false
        rgw_run_sync_thread = false
        rgw_enable_ops_log = false
        rgw_enable_usage_log = false
        rgw_dynamic_resharding = false

        """
    }
}
