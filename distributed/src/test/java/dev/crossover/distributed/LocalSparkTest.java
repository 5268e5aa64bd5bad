// SPDX-License-Identifier: Apache-2.0
package dev.crossover.distributed;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.error.ErrorFile;
import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.PointJob;
import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.swap.LanguageSwapRunner;
import dev.crossover.reports.cli.Main;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Spark with the executor in this process.
class LocalSparkTest {
  private static final String ERRORS =
      "errors --input low_rank:rank=2 --n 32 --seeds 2 --mask causal -m longformer:window=4 -o ";
  private static final String TRAIN =
      "train induction:n=12,vocab=4 -m tiled,lstm --seeds 2"
          + " --model width=16,batch=8,steps=6,evaluate_every=3 -o ";

  @TempDir private Path folder;
  private final StringWriter told = new StringWriter();
  private final PrintWriter writer = new PrintWriter(told, true);

  private static SparkConf local(int cores) {
    return Cluster.completed(
        new SparkConf(false).setMaster("local[" + cores + "]"), new Properties());
  }

  private Path spark(int cores, String command, String out) {
    Path to = folder.resolve(out);
    int code = SparkStudy.run(local(cores), writer, writer, (command + to).split(" "));
    assertEquals(0, code, told.toString());
    return to;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void errorsAreThoseOfALocalRunBitForBit(int cores) throws IOException {
    Path there = spark(cores, ERRORS, "there");
    Path here = folder.resolve("here");
    assertEquals(0, Main.run(writer, writer, (ERRORS + here).split(" ")));
    List<String> lines = Files.readAllLines(there.resolve(ErrorFile.NAME));
    assertEquals(Files.readAllLines(here.resolve(ErrorFile.NAME)), lines);
    assertTrue(lines.size() > 100, told.toString());
    assertEquals(csv(here), csv(there), "the page's numbers");
  }

  private static Map<String, String> csv(Path study) throws IOException {
    Map<String, String> texts = new TreeMap<>();
    try (Stream<Path> files = Files.list(study.resolve("csv"))) {
      for (Path file : files.toList()) {
        texts.put(file.getFileName().toString(), Files.readString(file));
      }
    }
    return texts;
  }

  @Test
  void trainingIsThatOfOneProcessBitForBit() throws IOException {
    Path records = spark(2, TRAIN, "run").resolve(QualityFile.NAME);
    String written = Files.readString(records);
    Files.delete(records);
    String[] command = (TRAIN + folder.resolve("run")).split(" ");
    assertEquals(0, Main.run(Jobs.here(1), writer, writer, command));
    assertEquals(Files.readString(records), written);
    assertEquals(4, written.lines().count());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void swapsAreThoseOfALocalRunBitForBit(int cores) throws IOException {
    String command = SmallModel.in(folder).swap();
    Path there = spark(cores, command, "there");
    Path here = folder.resolve("here");
    assertEquals(0, Main.run(writer, writer, (command + here).split(" ")), told.toString());
    List<String> lines = Files.readAllLines(there.resolve(LanguageSwapRunner.FILE));
    assertEquals(Files.readAllLines(here.resolve(LanguageSwapRunner.FILE)), lines);
    assertEquals(SmallModel.POINTS, lines.size());
    assertEquals(csv(here), csv(there), "the page's numbers");
  }

  @Test
  void pointThatFailsCostsNoOther() throws IOException {
    PointJob odd =
        point -> {
          if (point.equals("2")) {
            throw new IOException("2 is even");
          }
          return "{" + point + "}";
        };
    List<String> records = new ArrayList<>();
    try (SparkJobs jobs = new SparkJobs(local(2))) {
      IOException fault =
          assertThrows(
              IOException.class,
              () -> jobs.run(odd, List.of("1", "2", "3"), (_, record) -> records.add(record)));
      assertEquals("2: 2 is even", fault.getMessage());
      assertEquals(List.of("{1}", "{3}"), records.stream().sorted().toList());
    }
  }

  @Test
  void recordThatCannotBeKeptEndsTheStudy() {
    PointJob any = point -> point;
    Jobs.Sink full =
        (_, _) -> {
          throw new IOException("disk full");
        };
    try (SparkJobs jobs = new SparkJobs(local(1))) {
      IOException fault =
          assertThrows(IOException.class, () -> jobs.run(any, List.of("1", "2"), full));
      assertTrue(fault.getMessage().contains("disk full"), fault.getMessage());
    }
  }

  @Test
  void timingIsRefusedByNameBeforeSparkStarts() {
    int code = SparkStudy.run(new SparkConf(false), writer, writer, "sweep", "--n", "64");
    assertEquals(Main.USAGE, code);
    assertTrue(told.toString().contains("nothing is timed, but was sweep"), told.toString());
  }

  @Test
  void absentMasterIsAskedFor() {
    String[] command = (TRAIN + folder.resolve("none")).split(" ");
    assertEquals(Main.USAGE, SparkStudy.run(new SparkConf(false), writer, writer, command));
    assertTrue(told.toString().contains("spark.master must be given"), told.toString());
  }

  @Test
  void executorsGetTheVectorModuleAndTheDriversKernels() {
    Properties properties = new Properties();
    properties.setProperty("crossover.vector.bits", "256");
    String option = "spark.executor.extraJavaOptions";
    assertEquals(
        "--add-modules=jdk.incubator.vector -Dcrossover.vector.bits=256",
        Cluster.completed(new SparkConf(false), properties).get(option));
    SparkConf own = new SparkConf(false).set(option, "-Xss4m -Dcrossover.vector.bits=128");
    assertEquals(
        "-Xss4m -Dcrossover.vector.bits=128 --add-modules=jdk.incubator.vector",
        Cluster.completed(own, properties).get(option));
  }
}
