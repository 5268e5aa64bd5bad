// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.Denominator;
import dev.crossover.attention.linear.FeatureGradients;
import dev.crossover.attention.linear.FeatureMap;
import dev.crossover.attention.linear.FeatureRows;
import dev.crossover.attention.linear.FeatureSite;
import dev.crossover.attention.linear.LinearAttentionPlan;
import dev.crossover.attention.linear.LinearCost;
import dev.crossover.attention.linear.LinearDecodeSession;
import dev.crossover.attention.linear.LinearDifferentiablePlan;
import dev.crossover.attention.linear.LinearForm;
import dev.crossover.attention.linear.Segments;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/// Hedgehog: linear attention whose feature maps are learned to mimic softmax weights.
///
/// Zhang, Bhatia, Kumbong, Ré: "The Hedgehog & the Porcupine: Expressive Linear Attentions with
/// Softmax Mimicry", ICLR 2024, arXiv:2402.04347, equation (6) and section 4.2.
///
/// ```
/// y = x W                                          [f]; W = w_q for queries, w_k for keys
/// exp_plain       φ(x) = [exp(y), exp(−y)]         the paper's
/// exp_halves      φ(x) = [exp(y − max y), exp(−y + min y)]
/// softmax_halves  φ(x) = [softmax(y), softmax(−y)]
/// softmax_joint2  φ(x) = softmax([2y, −2y])        over all 2f entries
/// out_i = φ_q(q_i) S / (φ_q(q_i)·z + eps),  S = Σ_j φ_k(k_j) v_jᵀ,  z = Σ_j φ_k(k_j)   causal: j ≤ i
/// ```
///
/// | paper | here         | shape                              |
/// |-------|--------------|------------------------------------|
/// | q     | `q`          | `[batch, numHeads, nq, d]`         |
/// | k     | `k`          | `[batch, numHeads, nk, d]`         |
/// | v     | `v`          | `[batch, numHeads, nk, dv]`        |
/// | W     | `w_q`, `w_k` | `[numHeads, d, f]`, the identity if absent |
///
/// Time `4·n·d·f + 8·n·f·dv` per head; memory 2f·(dv + 1). Honours every [Mask]; a row that may see
/// no key is zero. The stabilised maps are mechanisms of their own: a factor per key row does not
/// cancel. exp_plain overflows for |y| > 88. Training W is outside this mechanism, so that an error
/// against softmax attention says nothing about it.
///
/// *Backward*: dφ, dv as in [LinearTransformer]; dφ = 0 where φ lies at `feature_clamp`; then with
/// σ(p, x) = p ∘ (x − Σ p ∘ x)
///
/// ```
/// exp_plain       dy = dφ₁ ∘ φ₁ − dφ₂ ∘ φ₂
/// exp_halves      the same, less Σ dφ₁ ∘ φ₁ at the largest y, plus Σ dφ₂ ∘ φ₂ at the smallest (equal
///                 ones share it)
/// softmax_halves  dy = σ(φ₁, dφ₁) − σ(φ₂, dφ₂)
/// softmax_joint2  dy = 2 σ₁(φ, dφ) − 2 σ₂(φ, dφ)    both halves of one σ
/// dx = dy Wᵀ,   dW = Σ xᵀ dy
/// ```
///
/// Nothing is a constant.
///
/// @param featureMap activation after W
/// @param numFeatures columns f of W, d when absent
/// @param featureClamp lower bound of every feature, 0 for none
/// @param eps added to the denominator, at least 0
@Mechanism(
    name = "hedgehog",
    title = "Hedgehog",
    paper = "Zhang et al., The Hedgehog & the Porcupine, ICLR 2024",
    arxiv = "2402.04347",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: its maps are trained to mimic softmax weights",
    time = "12 n d²",
    memory = "2 d²",
    exponent = 1,
    bound =
        "products, near the peak, are half of the time; the softmax of both "
            + "halves of every row is a quarter, bounding and summing features the "
            + "rest",
    differences =
        @Mechanism.Difference(
            what = "feature map",
            paper = "[exp(y), exp(−y)]",
            code = "a softmax of each half, bounded from below",
            paperOption = "feature_map=exp_plain,feature_clamp=0",
            codeOption = "feature_map=softmax_halves",
            defaultIs = "the code's: the paper's overflows",
            test = "HedgehogTest.rowFactorsCancelForQueriesButNotForKeys"))
public record Hedgehog(
    @Parameter(value = "activation after the learned map", defaultValue = "softmax_halves")
        MapKind featureMap,
    @Parameter(value = "columns f of the learned maps, >= 1; d when absent", defaultValue = "")
        OptionalInt numFeatures,
    @Parameter(
            value = "lower bound of every feature, 0 for none",
            defaultValue = "1e-12",
            goldenDefault = "0")
        double featureClamp,
    @Parameter(value = "added to the denominator, >= 0", defaultValue = "1e-12") double eps)
    implements Attention {

  /// Activations.
  public enum MapKind {
    /// Exponentials of y and −y.
    EXP_PLAIN,
    /// Exponentials, the largest of each half being 1.
    EXP_HALVES,
    /// Softmax of each half.
    SOFTMAX_HALVES,
    /// Softmax of both halves together, y doubled.
    SOFTMAX_JOINT2
  }

  /// Validates the numbers.
  public Hedgehog {
    if (numFeatures.isPresent() && numFeatures.getAsInt() < 1) {
      throw new IllegalArgumentException(
          "num_features must be >= 1, but was " + numFeatures.getAsInt());
    }
    if (!(featureClamp >= 0) || Double.isInfinite(featureClamp)) {
      throw new IllegalArgumentException("feature_clamp must be >= 0, but was " + featureClamp);
    }
    if (!(eps >= 0) || Double.isInfinite(eps)) {
      throw new IllegalArgumentException("eps must be >= 0, but was " + eps);
    }
  }

  /// With the published code's defaults.
  public Hedgehog() {
    this(MapKind.SOFTMAX_HALVES, OptionalInt.empty(), 1e-12, 1e-12);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .valueDim(true)
        .gradients(true)
        .decoding(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    for (String name : List.of("w_q", "w_k")) {
      specs.add(
          TensorSpec.parameter(
              name,
              "learned map, x W; the identity",
              (_, shape) -> identities(shape),
              s,
              Axis.HEADS,
              Axis.HEAD_DIM,
              Axis.of("features", features(s))));
    }
    return List.copyOf(specs);
  }

  private static Tensor identities(int... shape) {
    Tensor w = Tensor.zeros(shape);
    for (int h = 0; h < shape[0]; h++) {
      for (int c = 0; c < Math.min(shape[1], shape[2]); c++) {
        w.data()[(h * shape[1] + c) * shape[2] + c] = 1;
      }
    }
    return w;
  }

  private int features(AttentionShape s) {
    return numFeatures.orElse(s.headDim());
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int f = features(s);
    double row = 2.0 * s.headDim() * f + 8.0 * f;
    long maxima = (long) threads * Segments.CHUNK * Float.BYTES;
    return new LinearCost(s, mask, threads, 2 * f).total(row, row, 0, maxima);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    int f = features(s);
    double row = 6.0 * s.headDim() * f + 16.0 * f;
    int parameters = s.headDim() * f;
    return new LinearCost(s, mask, threads, 2 * f)
        .gradient(
            row,
            row,
            (long) threads * Segments.CHUNK * Float.BYTES
                + SpikyFeatures.gradientBytes(s.headDim(), f, threads),
            new LinearCost.Parameters(parameters, parameters));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new LinearAttentionPlan(request, form());
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new LinearDifferentiablePlan(request, form());
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new LinearDecodeSession(this, shape, threads, form());
  }

  private LinearForm form() {
    return new LinearForm(
        site -> new SpikyFeatures(featureMap, site, features(site.shape()), (float) featureClamp),
        Denominator.plus(eps));
  }

  /// Both halves of φ after the learned maps.
  private static final class SpikyFeatures implements FeatureMap {
    /// Bound up to which a bounded feature and what it would be without are the same to a softmax's
    /// derivative in float32.
    private static final float NEGLIGIBLE = 1e-9f;

    private final Kernels kernels = Kernels.get();
    private final MapKind map;
    private final int d;
    private final int f;
    private final float clamp;
    private final float[][] maxima;
    private final float[][] work;
    private float[] queryMap = new float[0];
    private float[] keyMap = new float[0];
    private @Nullable BoundTensors asked;

    SpikyFeatures(MapKind map, FeatureSite site, int f, float clamp) {
      this.map = map;
      this.d = site.shape().headDim();
      this.f = f;
      this.clamp = clamp;
      this.maxima = new float[site.threads()][];
      for (int t = 0; t < maxima.length; t++) {
        maxima[t] = site.scratch().floats(Segments.CHUNK);
      }
      this.work = new float[site.threads()][0];
    }

    /// Bytes that [#allocateGradients] allocates.
    static long gradientBytes(int d, int f, int threads) {
      return (long) threads * Kernels.get().transposedBScratch(d, f) * Float.BYTES;
    }

    @Override
    public void allocateGradients(Scratch scratch) {
      for (int t = 0; t < work.length; t++) {
        work[t] = scratch.floats(kernels.transposedBScratch(d, f));
      }
    }

    @Override
    public int width() {
      return 2 * f;
    }

    @Override
    public void begin(BoundTensors inputs) {
      queryMap = inputs.get("w_q");
      keyMap = inputs.get("w_k");
    }

    @Override
    public void queries(FeatureRows rows, float[] phi, int at) {
      features(rows, queryMap, phi, at);
    }

    @Override
    public void keys(FeatureRows rows, float[] phi, int at) {
      features(rows, keyMap, phi, at);
    }

    private void features(FeatureRows rows, float[] w, float[] phi, int at) {
      int m = 2 * f;
      project(rows, w, phi, at);
      activate(rows.count(), phi, at, maxima[rows.worker()]);
      if (clamp > 0) {
        for (int i = at; i < at + rows.count() * m; i++) {
          phi[i] = Math.max(phi[i], clamp);
        }
      }
    }

    /// y = x W, in the first half of every row.
    private void project(FeatureRows rows, float[] w, float[] phi, int at) {
      kernels.multiply(
          rows.count(),
          f,
          d,
          rows.data(),
          rows.at(0),
          d,
          w,
          rows.head() * d * f,
          f,
          phi,
          at,
          2 * f,
          false);
    }

    @Override
    public int queryParameters() {
      return d * f;
    }

    @Override
    public int keyParameters() {
      return d * f;
    }

    @Override
    public void beginGradients(BoundTensors gradients) {
      asked = gradients;
    }

    @Override
    public void queryGradients(FeatureRows rows, FeatureGradients gradients) {
      gradients(rows, gradients, queryMap);
    }

    @Override
    public void keyGradients(FeatureRows rows, FeatureGradients gradients) {
      gradients(rows, gradients, keyMap);
    }

    @Override
    public void addQueryParameters(int head, float[] sums, int at) {
      addParameters("w_q", head, sums, at);
    }

    @Override
    public void addKeyParameters(int head, float[] sums, int at) {
      addParameters("w_k", head, sums, at);
    }

    private void addParameters(String name, int head, float[] sums, int at) {
      if (asked != null && asked.has(name)) {
        float[] gradient = asked.get(name);
        kernels.add(d * f, gradient, head * d * f, sums, at, gradient, head * d * f);
      }
    }

    /// `dx = dy Wᵀ` and `dW += xᵀ dy`. A softmax's derivative needs φ without its lower bound.
    private void gradients(FeatureRows rows, FeatureGradients gradients, float[] w) {
      int m = 2 * f;
      int at = gradients.at();
      float[] ofPhi = gradients.ofPhi();
      if (clamp > 0) {
        kernels.keepAbove(rows.count() * m, clamp, gradients.phi(), at, ofPhi, at);
        if (clamp > NEGLIGIBLE) {
          project(rows, w, gradients.phi(), at);
          activate(rows.count(), gradients.phi(), at, maxima[rows.worker()]);
        }
      }
      for (int y = at; y < at + rows.count() * m; y += m) {
        deactivate(gradients.phi(), ofPhi, y);
      }
      int map = rows.head() * d * f;
      kernels.multiplyTransposedB(
          rows.count(),
          d,
          f,
          ofPhi,
          at,
          m,
          w,
          map,
          f,
          gradients.ofRows(),
          0,
          d,
          false,
          work[rows.worker()],
          0);
      kernels.multiplyTransposedA(
          d,
          f,
          rows.count(),
          rows.data(),
          rows.at(0),
          d,
          ofPhi,
          at,
          m,
          gradients.parameters(),
          gradients.parametersAt(),
          f,
          true);
    }

    /// Turns the gradient of one row's φ into that of y, in its first half.
    private void deactivate(float[] phi, float[] ofPhi, int y) {
      int half = y + f;
      switch (map) {
        case EXP_PLAIN -> {
          for (int a = 0; a < f; a++) {
            ofPhi[y + a] = ofPhi[y + a] * phi[y + a] - ofPhi[half + a] * phi[half + a];
          }
        }
        case EXP_HALVES -> {
          float first = kernels.dot(f, ofPhi, y, phi, y);
          float second = kernels.dot(f, ofPhi, half, phi, half);
          float perMaximum = first / ones(phi, y);
          float perMinimum = second / ones(phi, half);
          for (int a = 0; a < f; a++) {
            float own = ofPhi[y + a] * phi[y + a] - ofPhi[half + a] * phi[half + a];
            own -= phi[y + a] == 1 ? perMaximum : 0;
            own += phi[half + a] == 1 ? perMinimum : 0;
            ofPhi[y + a] = own;
          }
        }
        case SOFTMAX_HALVES -> {
          float first = kernels.dot(f, ofPhi, y, phi, y);
          float second = kernels.dot(f, ofPhi, half, phi, half);
          for (int a = 0; a < f; a++) {
            ofPhi[y + a] =
                phi[y + a] * (ofPhi[y + a] - first) - phi[half + a] * (ofPhi[half + a] - second);
          }
        }
        case SOFTMAX_JOINT2 -> {
          float both = kernels.dot(2 * f, ofPhi, y, phi, y);
          for (int a = 0; a < f; a++) {
            ofPhi[y + a] =
                2 * phi[y + a] * (ofPhi[y + a] - both)
                    - 2 * phi[half + a] * (ofPhi[half + a] - both);
          }
        }
      }
    }

    /// Number of features of a half that are its largest, `exp(0)`; they share its derivative.
    private int ones(float[] phi, int at) {
      int ones = 0;
      for (int a = 0; a < f; a++) {
        ones += phi[at + a] == 1 ? 1 : 0;
      }
      return Math.max(1, ones);
    }

    /// Turns y, the first half of every row, into φ.
    private void activate(int rows, float[] phi, int at, float[] work) {
      int m = 2 * f;
      switch (map) {
        case EXP_PLAIN -> {
          for (int y = at; y < at + rows * m; y += m) {
            kernels.exp(f, -1, 0, phi, y, phi, y + f);
            kernels.exp(f, 1, 0, phi, y, phi, y);
          }
        }
        case EXP_HALVES -> {
          for (int y = at; y < at + rows * m; y += m) {
            kernels.scale(f, -1, phi, y, phi, y + f);
            kernels.exp(f, 1, -kernels.max(f, phi, y + f), phi, y + f, phi, y + f);
            kernels.exp(f, 1, -kernels.max(f, phi, y), phi, y, phi, y);
          }
        }
        case SOFTMAX_HALVES -> {
          kernels.softmaxRows(rows, f, -1, phi, at, m, phi, at + f, m, work, 0);
          kernels.softmaxRows(rows, f, 1, phi, at, m, phi, at, m, work, 0);
        }
        case SOFTMAX_JOINT2 -> {
          for (int y = at; y < at + rows * m; y += m) {
            kernels.scale(f, -1, phi, y, phi, y + f);
          }
          kernels.softmaxRows(rows, m, 2, phi, at, m, phi, at, m, work, 0);
        }
      }
    }
  }
}
