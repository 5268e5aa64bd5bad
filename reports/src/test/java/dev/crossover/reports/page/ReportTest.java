// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Records;
import dev.crossover.reports.answer.SyntheticStudy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {
  private static final String COMMAND = "crossover sweep --preset quick";
  private static final String ATTACK =
      "</script><script>window.hacked=1</script><img src=x onerror=\"window.hacked=1\">|`$x$`";

  @TempDir static Path folder;
  private static Path pages;
  private static Path target;
  private static String page;
  private static String markdown;

  @BeforeAll
  static void write() throws Exception {
    String kept = System.getProperty("crossover.report");
    pages = kept == null ? folder : Path.of(kept);
    target = pages.resolve("study");
    page = Files.readString(Report.write(SyntheticStudy.records(1), target, COMMAND));
    markdown = Files.readString(target.resolve("report.md"));
  }

  @Test
  void pageIsOneFileBelowTwoMegabytesThatLoadsNothing() {
    assertTrue(page.length() < 2_000_000, "characters " + page.length());
    assertFalse(page.matches("(?s).*<(script|link|iframe)[^>]*\\b(src|href)=.*"));
    assertFalse(page.matches("(?s).*<img[^>]*\\bsrc=\"(?!data:).*"));
    assertTrue(page.contains("<img src=\"data:image/png;base64,"));
    assertFalse(page.contains("@import"));
    assertFalse(page.contains("fetch("));
    assertTrue(page.contains("default-src 'none'"));
  }

  @Test
  void tablesAloneAreTheMarkdownWithoutItsPictures() throws Exception {
    Path alone = folder.resolve("alone");
    Path file = Report.writeTables(SyntheticStudy.records(1), List.of(), List.of(), alone, COMMAND);
    try (Stream<Path> files = Files.list(alone)) {
      assertEquals(List.of(file), files.toList());
    }
    assertFalse(Files.readString(file).contains("](figures/"));
    List<String> kept = Files.readString(file).lines().filter(line -> !line.isEmpty()).toList();
    assertTrue(markdown.lines().anyMatch(line -> line.startsWith("![")));
    assertTrue(kept.get(1).endsWith("pictures: `crossover report`"), kept.get(1));
    assertEquals(
        markdown
            .lines()
            .filter(
                line -> !line.isEmpty() && !line.startsWith("![") && !line.contains("report.html"))
            .map(line -> line.replaceAll("\\[(.*?)\\]\\(figures/.*?\\)", "$1"))
            .toList(),
        Stream.concat(kept.stream().limit(1), kept.stream().skip(2)).toList());
  }

  @Test
  void answersComeBeforeCharts() {
    int answer = page.indexOf("is faster than tiled exact attention from n\u00a0");
    assertTrue(answer > 0);
    assertTrue(answer < page.indexOf("class=\"chart\""));
  }

  @Test
  void phaseDiagramsComeFirstAndAsFiles() throws Exception {
    int phase = page.indexOf("<figure class=\"phase\"");
    assertTrue(phase > 0 && phase < page.indexOf("class=\"lead\""));
    assertTrue(page.contains("error measured where it was chosen"));
    try (Stream<Path> figures = Files.list(target.resolve("figures"))) {
      List<String> names =
          figures.map(f -> f.getFileName().toString()).filter(f -> f.startsWith("phase")).toList();
      assertTrue(names.contains("phase-1-forward-causal-captured.png"), names.toString());
      assertTrue(names.contains("phase-1-forward-causal-captured.pdf"), names.toString());
    }
    String csv = Files.readString(target.resolve("csv/phase-1-forward-causal-captured.csv"));
    assertTrue(csv.startsWith("n,permitted_error,answer,kind,mechanism,spec,times_faster,"), csv);
    assertTrue(markdown.contains("figures/phase-1-forward-causal-captured.png"));
  }

  @Test
  void everyChartCarriesCommandMachineJdkAndCommit() {
    String[] charts = page.split("<figure class=\"chart\"", -1);
    assertEquals(1 + 2 * 7 + 5, charts.length);
    for (int i = 1; i < charts.length; i++) {
      String chart = charts[i].substring(0, charts[i].indexOf("</figure>"));
      for (String part : List.of(COMMAND, "Example CPU", "JDK 25", "commit 0123abc")) {
        assertTrue(chart.contains(part), part + " in chart " + i);
      }
    }
  }

  @Test
  void causalAndNonCausalPanelsStandApart() {
    assertTrue(page.contains("Forward pass, causal · captured"));
    assertTrue(page.contains("Forward pass, without a mask · captured"));
    assertTrue(markdown.contains("## Forward pass, causal · captured"));
  }

  @Test
  void everyLinkedFileExists() throws Exception {
    for (String text : List.of(page, markdown)) {
      var links =
          java.util.regex.Pattern.compile("(?:href=\"|\\]\\()((?:figures|csv|report)[^\")]*)")
              .matcher(text);
      int count = 0;
      while (links.find()) {
        count++;
        assertTrue(Files.exists(target.resolve(links.group(1))), links.group(1));
      }
      assertTrue(count > 10, "links " + count);
    }
  }

  @Test
  void csvHoldsTheNumbersOfTheFigures() throws Exception {
    try (Stream<Path> files = Files.list(target.resolve("csv"))) {
      Path time =
          files
              .filter(f -> f.toString().endsWith("causal-captured-time.csv"))
              .findFirst()
              .orElseThrow();
      List<String> lines = Files.readAllLines(time);
      assertEquals(
          "mechanism,spec,n,seconds,seconds_low,seconds_high,forks,samples,relative_error",
          lines.getFirst());
      assertEquals(1 + 7 * 6 + 5, lines.size());
    }
  }

  @Test
  void everyFigureHasItsNumbersInAFileOfTheSameName() throws Exception {
    try (Stream<Path> figures = Files.list(target.resolve("figures"))) {
      List<String> names =
          figures
              .map(f -> f.getFileName().toString().replaceAll("\\.(png|pdf)$", ""))
              .distinct()
              .toList();
      assertTrue(names.stream().anyMatch(n -> n.contains("-rows-exact-")), names.toString());
      for (String name : names) {
        Path csv = target.resolve("csv").resolve(name + ".csv");
        assertTrue(Files.exists(csv), csv.toString());
        assertTrue(Files.readAllLines(csv).size() > 1, csv + " is empty");
      }
    }
  }

  /// Forks differ in nothing but their heaps, which are told as a range, and in a flag of one.
  @Test
  void flagsOfManyForksAreToldOnce() throws Exception {
    List<ResultRecord> records = new ArrayList<>();
    int heap = 500;
    for (ResultRecord record : SyntheticStudy.records(1)) {
      ResultRecord.Environment e = record.environment();
      heap++;
      String flags = "--shared -Xms" + heap + "m -Xmx" + heap + "m" + (heap == 503 ? " -X:o" : "");
      records.add(
          Records.on(
              record,
              new ResultRecord.Environment(
                  e.cpu(),
                  e.cores(),
                  e.memoryBytes(),
                  e.os(),
                  e.jdk(),
                  flags,
                  e.kernels(),
                  e.commit(),
                  e.timestamp())));
    }
    Report.write(records.subList(0, 8), folder.resolve("flags"), COMMAND);
    String text = Files.readString(folder.resolve("flags").resolve("report.md"));
    assertTrue(text.contains("--shared -Xms501m…508m -Xmx501m…508m and in some forks -X:o"), text);
  }

  /// Speed and work are told against tiled attention, so its own row reads 1 in both.
  @Test
  void workIsToldAgainstTiledAttention() throws Exception {
    try (Stream<Path> files = Files.list(target.resolve("csv"))) {
      Path work =
          files
              .filter(f -> f.toString().endsWith("causal-captured-work.csv"))
              .findFirst()
              .orElseThrow();
      List<String> lines = Files.readAllLines(work);
      assertTrue(lines.getFirst().contains("work_over_tiled,speed_over_tiled"), lines.getFirst());
      List<String> tiled =
          lines.stream()
              .filter(line -> line.contains(",1,1,") && line.startsWith("tiled"))
              .toList();
      assertEquals(1, tiled.size(), lines.toString());
    }
  }

  /// Whatever a file claims to be called, it stays text: in the page, its data, Markdown and CSV.
  @Test
  void hostileNamesStayText() throws Exception {
    ResultRecord honest = SyntheticStudy.records(1).getFirst();
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {256, 512, 1024}) {
      records.add(hostile(honest, n));
    }
    records.add(Records.missing(records.getFirst(), Status.FAILED, "=cmd()|" + ATTACK));
    Path hostile = pages.resolve("hostile");
    String hostilePage = Files.readString(Report.write(records, hostile, COMMAND + ATTACK));
    assertFalse(hostilePage.contains("<script>window.hacked"));
    assertFalse(hostilePage.contains("<img src=x"));
    String text = Files.readString(hostile.resolve("report.md"));
    assertFalse(text.replace(Markdown.code(COMMAND + ATTACK), "").contains("<img src=x"));
    try (Stream<Path> files = Files.walk(hostile)) {
      for (Path file : files.toList()) {
        assertTrue(file.startsWith(hostile), file.toString());
        assertTrue(file.getFileName().toString().matches("[a-z0-9.-]+"), file.toString());
      }
    }
    String missing;
    try (Stream<Path> files = Files.list(hostile.resolve("csv"))) {
      missing =
          Files.readString(
              files.filter(f -> f.toString().endsWith("-missing.csv")).findFirst().orElseThrow());
    }
    assertTrue(missing.contains("'=cmd()"), missing);
  }

  private static ResultRecord hostile(ResultRecord like, int n) {
    ResultRecord point =
        Records.point(
            Study.FORWARD,
            ATTACK.replace(':', ' ') + ":x=" + ATTACK,
            Approximates.SOFTMAX,
            "causal",
            n,
            n * 1e-5,
            n * 100.0,
            0.1,
            3,
            0.02,
            RandomGeneratorFactory.of("L64X128MixRandom").create(n));
    ResultRecord.Environment e = like.environment();
    return new ResultRecord(
        point.schema(),
        point.study(),
        point.mechanism(),
        point.spec(),
        point.parameters(),
        point.approximates(),
        point.shape(),
        point.mask(),
        new ResultRecord.Input(ATTACK + "../../etc", 1.0, 2.0, 3.0, null),
        point.threads(),
        point.seed(),
        point.status(),
        null,
        point.time(),
        point.memory(),
        point.error(),
        point.counted(),
        point.peak(),
        new ResultRecord.Environment(
            ATTACK,
            e.cores(),
            e.memoryBytes(),
            ATTACK,
            ATTACK,
            ATTACK,
            ATTACK,
            ATTACK,
            e.timestamp()));
  }

  @Test
  void wholeCatalogueFitsOnePageBelowTwoMegabytes() throws Exception {
    Path crowded = pages.resolve("crowded");
    String text = Files.readString(Report.write(SyntheticStudy.catalogue(1), crowded, COMMAND));
    assertTrue(text.length() < 2_000_000, "characters " + text.length());
  }

  @Test
  void noRecordsAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> Report.write(List.of(), folder, COMMAND));
  }

  @Test
  void onlyMissingPointsStillMakeAReport() throws Exception {
    ResultRecord missing =
        Records.missing(SyntheticStudy.records(1).getFirst(), Status.FAILED, "died of memory");
    String text = Files.readString(Report.write(List.of(missing), folder.resolve("m"), COMMAND));
    assertTrue(text.contains("died of memory"));
  }
}
