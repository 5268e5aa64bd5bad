// SPDX-License-Identifier: Apache-2.0
package dev.crossover.distributed;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/// A standalone master and workers of one core each as processes of this machine, started from the
/// jars on the class path: no distribution of Spark is needed.
final class LoopbackCluster implements AutoCloseable {
  private static final String HOST = "127.0.0.1";
  private static final long PATIENCE_SECONDS = 300;
  private static final String TASK_ENDED = "{\"Event\":\"SparkListenerTaskEnd\"";
  private static final String SUCCESS = "\"Reason\":\"Success\"";

  private final Path folder;
  private final Path home;
  private final String address;
  private final List<Process> workers = new ArrayList<>();
  private final List<Process> others = new ArrayList<>();
  private int drivers;

  /// How often executors ended a task.
  ///
  /// @param succeeded with an answer
  /// @param lost without one, because the executor was lost or for another reason
  record Tasks(long succeeded, long lost) {}

  /// Starts a cluster.
  ///
  /// @param folder for everything it writes
  /// @param count number of workers
  LoopbackCluster(Path folder, int count) throws IOException, InterruptedException {
    this.folder = Files.createDirectories(folder);
    this.home = sparkHome(folder.resolve("spark"));
    String port = Integer.toString(freePort());
    this.address = "spark://" + HOST + ":" + port;
    String master = "org.apache.spark.deploy.master.Master --webui-port 0 --host " + HOST;
    others.add(process("master", "-Xmx256m", words(master + " --port " + port)));
    await("master", "Starting Spark master");
    String worker = "org.apache.spark.deploy.worker.Worker --webui-port 0 --host " + HOST;
    for (int i = 0; i < count; i++) {
      Path work = Files.createDirectories(folder.resolve("work" + i));
      String sizes = " --cores 1 --memory 1g --work-dir " + work + " " + address;
      workers.add(process("worker" + i, "-Xmx256m", words(worker + sizes)));
    }
    for (int i = 0; i < count; i++) {
      await("worker" + i, "Successfully registered with master");
    }
  }

  /// What Spark takes for its distribution: a folder with its jars, here links to those of the
  /// class path. Crossover's own and its Jackson are left out: they come with the study, in whose
  /// jar Jackson's annotations have another package.
  private static Path sparkHome(Path home) throws IOException {
    Path jars = Files.createDirectories(home.resolve("jars"));
    for (String entry : property("java.class.path").split(File.pathSeparator)) {
      Path jar = Path.of(entry);
      String name = String.valueOf(jar.getFileName());
      boolean own = name.startsWith("crossover-") || entry.contains("/tools/jackson/");
      if (name.endsWith(".jar") && !own) {
        Files.createSymbolicLink(jars.resolve(name), jar);
      }
    }
    return home;
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getByName(HOST))) {
      return socket.getLocalPort();
    }
  }

  private static String property(String name) {
    return Objects.requireNonNull(System.getProperty(name), name);
  }

  private static List<String> words(String text) {
    return List.of(text.split(" "));
  }

  private Process process(String name, String heap, List<String> arguments) throws IOException {
    Path java = Path.of(property("java.home"), "bin", "java");
    List<String> command = new ArrayList<>(List.of(java.toString(), heap));
    command.addAll(words(property("crossover.spark.opens")));
    command.addAll(List.of("--add-modules=jdk.incubator.vector", "-cp", home + "/jars/*"));
    command.addAll(arguments);
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    Map<String, String> environment = builder.environment();
    environment.put("SPARK_HOME", home.toString());
    environment.put("SPARK_LOCAL_IP", HOST);
    environment.put("SPARK_SCALA_VERSION", "2.13");
    environment.put("JAVA_HOME", property("java.home"));
    return builder.redirectOutput(log(name).toFile()).start();
  }

  private Path log(String name) {
    return folder.resolve(name + ".log");
  }

  private void await(String name, String words) throws IOException, InterruptedException {
    for (long i = 0; i < 10 * PATIENCE_SECONDS; i++) {
      if (Files.readString(log(name)).contains(words)) {
        return;
      }
      Thread.sleep(100);
    }
    throw new IOException(name + " said:\n" + Files.readString(log(name)));
  }

  /// Submits a study.
  ///
  /// @param command as for `crossover`
  Driver submit(String command) throws IOException {
    String name = "driver" + drivers++;
    Path events = Files.createDirectories(folder.resolve(name + "-events"));
    List<String> arguments =
        new ArrayList<>(List.of("org.apache.spark.deploy.SparkSubmit", "--master", address));
    for (String setting :
        List.of(
            "spark.driver.host=" + HOST,
            "spark.executor.memory=512m",
            "spark.eventLog.enabled=true",
            "spark.eventLog.compress=false",
            "spark.eventLog.rolling.enabled=false",
            "spark.eventLog.dir=" + events.toUri())) {
      arguments.addAll(List.of("--conf", setting));
    }
    arguments.add(property("crossover.spark.jar"));
    arguments.addAll(words(command));
    Process process = process(name, "-Xmx512m", arguments);
    others.add(process);
    return new Driver(process, log(name), events);
  }

  /// Kills a worker and its executors, as a machine that is switched off does.
  void killWorker(int index) {
    kill(workers.get(index));
  }

  private static void kill(Process process) {
    List<ProcessHandle> children = process.descendants().toList();
    process.destroyForcibly();
    children.forEach(ProcessHandle::destroyForcibly);
    process.onExit().join();
    children.forEach(child -> child.onExit().join());
  }

  @Override
  public void close() {
    others.forEach(LoopbackCluster::kill);
    workers.forEach(LoopbackCluster::kill);
  }

  /// A study that runs.
  record Driver(Process process, Path log, Path events) {

    /// Waits until a file has so many lines.
    void awaitLines(Path file, int count) throws IOException, InterruptedException {
      for (long i = 0; i < 100 * PATIENCE_SECONDS && process.isAlive(); i++) {
        if (Files.exists(file) && Files.readString(file).lines().count() >= count) {
          return;
        }
        Thread.sleep(10);
      }
      throw new IOException(file + " has too few lines; the driver said:\n" + told());
    }

    /// Waits for the end.
    int exitCode() throws InterruptedException {
      return process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS) ? process.exitValue() : -1;
    }

    void kill() {
      LoopbackCluster.kill(process);
    }

    String told() throws IOException {
      return Files.readString(log);
    }

    /// What Spark's own log of events says of tasks.
    Tasks tasks() throws IOException {
      long succeeded = 0;
      long ended = 0;
      try (Stream<Path> files = Files.walk(events)) {
        for (Path file : files.filter(Files::isRegularFile).toList()) {
          for (String line : Files.readAllLines(file)) {
            ended += line.startsWith(TASK_ENDED) ? 1 : 0;
            succeeded += line.startsWith(TASK_ENDED) && line.contains(SUCCESS) ? 1 : 0;
          }
        }
      }
      return new Tasks(succeeded, ended - succeeded);
    }
  }
}
