package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.Claim.Setting;
import dev.crossover.reports.answer.Claim.Verdict;
import dev.crossover.reports.answer.ClaimRules.Crosses;
import dev.crossover.reports.answer.ClaimRules.Grows;
import dev.crossover.reports.answer.ClaimRules.Measured;
import dev.crossover.reports.answer.ClaimRules.Quantity;
import dev.crossover.reports.answer.ClaimRules.Times;
import dev.crossover.reports.answer.ClaimRules.WholeImage;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntToDoubleFunction;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

class ClaimsTest {
  private static final Setting FORWARD = PaperClaims.FORWARD;
  // the synthetic records have width 64
  private static final Setting DECODE = new Setting(Study.DECODE, "causal", 64);
  private static final int[] LENGTHS = {128, 256, 512, 1024, 2048, 4096, 8192};

  private final RandomGenerator random = Curves.random(21);

  @Test
  void imageTimeOfPowersOfTheContextIsTheirSum() {
    int[] contexts = {1, 10, 100, 784, 3072};
    Curve square = Curves.exact("square", n -> 1e-9 * n * n, contexts);
    double truth = 1e-9 * 3072.0 * 3073.0 * 6145.0 / 6;
    assertEquals(truth, ImageTime.seconds(square, 3072), 1e-9 * truth);
    Curve flat = Curves.exact("flat", _ -> 2e-6, contexts);
    assertEquals(784 * 2e-6, ImageTime.seconds(flat, 784), 1e-15);
  }

  @Test
  void imageTimeIsNotExtrapolated() {
    Curve curve = Curves.exact("short", _ -> 1, 16, 784);
    assertThrows(IllegalArgumentException.class, () -> ImageTime.seconds(curve, 785));
  }

  @Test
  void imageRatioHoldsTheTruth() {
    int[] contexts = {16, 48, 98, 196, 392, 784};
    Curve slow = Curves.noisy("slow", n -> 1e-7 * n, 5, 0.05, random, contexts);
    Curve fast = Curves.noisy("fast", _ -> 1e-6, 5, 0.05, random, contexts);
    // below 16 the time is taken as that at 16: 15 more tokens at full price, 0.04 %
    double truth = 785 / 2.0 / 10;
    Ratio ratio = ImageTime.ratio(slow, fast, 784, 1);
    assertTrue(ratio.low() < truth && truth < ratio.high(), ratio.toString());
  }

  @Test
  void exponentNearThePapersIsReproducedAndAnotherIsNot() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    assertEquals(Verdict.REPRODUCED, judge(grows("tiled", 2), panel));
    assertEquals(Verdict.NOT_REPRODUCED, judge(grows("tiled", 1), panel));
    assertEquals(Verdict.REPRODUCED, judge(grows("longformer", 1), panel));
  }

  @Test
  void crossingWithinAFactorOfTwoIsReproduced() {
    // 1e-9 n² = 1e-6 n at n = 1000
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    assertEquals(Verdict.REPRODUCED, judge(crosses(1100), panel));
    assertEquals(Verdict.REPRODUCED, judge(crosses(1900), panel));
    assertEquals(Verdict.NOT_REPRODUCED, judge(crosses(2200), panel));
    assertEquals(Verdict.NOT_REPRODUCED, judge(crosses(450), panel));
    assertEquals(Verdict.NOT_REPRODUCED, judge(crosses(Double.NaN), panel));
  }

  @Test
  void crossingThatIsNeverReachedReproducesNever() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-4 * n);
    assertEquals(Verdict.REPRODUCED, judge(crosses(Double.NaN), panel));
    assertEquals(Verdict.NOT_REPRODUCED, judge(crosses(2000), panel));
  }

  @Test
  void factorOfAtLeastHalfThePapersIsReproduced() {
    // eight times faster at 8192
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1.024e-6 * n);
    assertEquals(Verdict.REPRODUCED, judge(times(13), panel));
    assertEquals(Verdict.NOT_REPRODUCED, judge(times(20), panel));
    assertEquals(Verdict.NOT_COMPARABLE, judge(times(16), panel), "the interval holds 8");
    assertEquals(Verdict.NOT_REPRODUCED, judge(times(0.8), panel), "faster, not slower");
  }

  @Test
  void factorWithoutIntervalDecidesNothing() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      records.add(point(Study.FORWARD, "tiled", n, 1e-9 * n * n, 1));
      records.add(point(Study.FORWARD, "longformer", n, 1e-8 * n, 1));
    }
    assertEquals(Verdict.NOT_COMPARABLE, judge(times(2), Panel.of(records).getFirst()));
    assertEquals(Verdict.NOT_COMPARABLE, judge(crosses(2000), Panel.of(records).getFirst()));
  }

  @Test
  void memoryFactorNeedsNoInterval() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    Measured rule = new Times(FORWARD, "longformer", "tiled", 8192, Quantity.MEMORY, 4);
    assertEquals(Verdict.NOT_REPRODUCED, judge(rule, panel), "equal bytes: a factor of 1");
  }

  @Test
  void imageIsJudgedOnDecodingRecords() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {16, 98, 784, 3072}) {
      records.add(point(Study.DECODE, "tiled", n, 1e-8 * n, 5));
      records.add(point(Study.DECODE, "linear_transformer", n, 1e-6, 5));
    }
    Panel panel = Panel.of(records).getFirst();
    // 3073 / 2 · 1e-8 against 1e-6 a token: 15.4 times
    assertEquals(Verdict.REPRODUCED, judge(image(20), panel));
    assertEquals(Verdict.NOT_REPRODUCED, judge(image(4462), panel));
    Outcome outcome = image(20).outcome(panel);
    assertTrue(outcome.own().startsWith("15."), outcome.own());
  }

  @Test
  void panelThatDoesNotReachTheLengthsCoversNothing() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    assertTrue(crosses(5000).covered(panel), "judged up to 8192, the largest length measured");
    assertFalse(crosses(200).covered(panel), "half of it lies below the smallest length");
    assertFalse(grows("performer", 1).covered(panel));
    assertFalse(new Times(FORWARD, "longformer", "tiled", 3000, Quantity.TIME, 2).covered(panel));
  }

  @Test
  void recordsOfTwoMachinesAreNeverOneCurve() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      ResultRecord record = point(Study.FORWARD, "tiled", n, 1e-9 * n * n, 5);
      records.add(n < 1024 ? record : Records.on(record, Records.environment("Other CPU")));
    }
    List<Claim> claims = List.of(new Claim("p", "", "t", "s", "2", grows("tiled", 2)));
    ClaimReplay replay = ClaimReplay.of(claims, records, _ -> Outcome.incomparable(""));
    assertEquals(Verdict.REPRODUCED, replay.results().getFirst().outcome().verdict());
    String measured = replay.results().getFirst().measured();
    assertTrue(measured.contains("Other CPU"), measured);
    String own = replay.results().getFirst().outcome().own();
    assertTrue(own.contains("1,024–8,192"), own);
  }

  @Test
  void onlyWhatNoRecordCoversIsMeasured() {
    List<Claim> claims =
        List.of(
            new Claim("p", "", "t", "s", "2", grows("tiled", 2)),
            new Claim("p", "", "t", "s", "1", grows("performer", 1)));
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      records.add(point(Study.FORWARD, "tiled", n, 1e-9 * n * n, 5));
    }
    assertEquals(List.of("performer"), ClaimReplay.uncovered(claims, records, Study.FORWARD));
    assertEquals(List.of(), ClaimReplay.uncovered(claims, records, Study.DECODE));
  }

  @Test
  void errorsAreOrderedOnlyWhenEveryNumberOfFeaturesAgrees() {
    List<double[]> small = List.of(draws(1), draws(1), draws(1));
    List<double[]> large = List.of(draws(2), draws(2), draws(2));
    List<double[]> mixed = List.of(draws(2), draws(1), draws(2));
    assertEquals(Verdict.REPRODUCED, ClaimRules.Errors.outcome(small, large).verdict());
    assertEquals(Verdict.NOT_REPRODUCED, ClaimRules.Errors.outcome(large, small).verdict());
    assertEquals(Verdict.NOT_COMPARABLE, ClaimRules.Errors.outcome(small, mixed).verdict());
  }

  @Test
  void everyClaimNamesItsSourceItsRuleAndMechanismsThatExist() {
    List<Claim> claims = PaperClaims.all();
    assertTrue(claims.getFirst().theirs().startsWith("4,462"), claims.getFirst().theirs());
    for (Claim claim : claims) {
      assertFalse(claim.where().isEmpty());
      assertFalse(claim.rule().words().isEmpty());
      assertTrue(claim.arxiv().isEmpty() || claim.arxiv().matches("\\d{4}\\.\\d{5}"));
      for (String spec : claim.specs()) {
        var attention = Catalogue.parse(spec);
        assertEquals(
            spec,
            Catalogue.find(attention.name()).describe(attention),
            "records hold the shortest form");
      }
    }
    assertEquals(claims.size(), claims.stream().distinct().count());
  }

  private static Verdict judge(Measured rule, Panel panel) {
    return rule.outcome(panel).verdict();
  }

  private static Grows grows(String spec, double exponent) {
    return new Grows(FORWARD, spec, Quantity.TIME, exponent);
  }

  private static Crosses crosses(double n) {
    return new Crosses(FORWARD, "longformer", "tiled", n);
  }

  private static Times times(double times) {
    return new Times(FORWARD, "longformer", "tiled", 8192, Quantity.TIME, times);
  }

  private static WholeImage image(double times) {
    return new WholeImage(DECODE, "linear_transformer", "tiled", 3072, times);
  }

  private double[] draws(double centre) {
    double[] values = new double[15];
    Arrays.setAll(values, _ -> centre * (1 + 0.05 * random.nextGaussian()));
    return values;
  }

  private Panel forward(
      String first, IntToDoubleFunction seconds, String second, IntToDoubleFunction other) {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      records.add(point(Study.FORWARD, first, n, seconds.applyAsDouble(n), 5));
      records.add(point(Study.FORWARD, second, n, other.applyAsDouble(n), 5));
    }
    return Panel.of(records).getFirst();
  }

  private ResultRecord point(Study study, String spec, int n, double seconds, int forks) {
    return Records.point(
        study,
        spec,
        Approximates.SOFTMAX,
        study == Study.DECODE ? "causal" : "none",
        n,
        seconds,
        1e6,
        0.1,
        forks,
        0.01,
        random);
  }
}
