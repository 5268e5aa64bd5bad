// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.L;
import static dev.crossover.attention.kernel.Lanes.PANEL;

import jdk.incubator.vector.FloatVector;

/// The products of fused attention in the block shape of this machine, columns of any number.
final class FusedProducts {
  private static final boolean TALL = Lanes.ROWS == 12;

  private FusedProducts() {}

  /// `s[r][·] = start[r] + Σ_c q[c][r] · k[c][·]` for one group of rows and `panels` key panels.
  static void scores(
      int dim,
      float[] q,
      int qo,
      float[] panel,
      int po,
      int panels,
      float[] s,
      int so,
      float[] start,
      int offset) {
    if (TALL) {
      FusedKernels12.scores(dim, q, qo, panel, po, panels, s, so, start, offset);
    } else {
      FusedKernels5.scores(dim, q, qo, panel, po, panels, s, so, start, offset);
    }
  }

  /// `out[r] = Σ_c q[c][r] · k[c]` for one group of rows and the key at `panel[po]`; up to L - 1
  /// floats behind the group's are read and written too.
  static void column(int dim, float[] q, int qo, float[] panel, int po, float[] out) {
    for (int r = 0; r < Lanes.ROWS; r += L) {
      FloatVector s0 = FloatVector.zero(FLOATS);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      int a = qo + r;
      int k = po;
      int c = 0;
      for (; c + 4 <= dim; c += 4) {
        s0 = FloatVector.fromArray(FLOATS, q, a).fma(FloatVector.broadcast(FLOATS, panel[k]), s0);
        s1 =
            FloatVector.fromArray(FLOATS, q, a + Lanes.ROWS)
                .fma(FloatVector.broadcast(FLOATS, panel[k + PANEL]), s1);
        s2 =
            FloatVector.fromArray(FLOATS, q, a + 2 * Lanes.ROWS)
                .fma(FloatVector.broadcast(FLOATS, panel[k + 2 * PANEL]), s2);
        s3 =
            FloatVector.fromArray(FLOATS, q, a + 3 * Lanes.ROWS)
                .fma(FloatVector.broadcast(FLOATS, panel[k + 3 * PANEL]), s3);
        a += 4 * Lanes.ROWS;
        k += 4 * PANEL;
      }
      for (; c < dim; c++) {
        s0 = FloatVector.fromArray(FLOATS, q, a).fma(FloatVector.broadcast(FLOATS, panel[k]), s0);
        a += Lanes.ROWS;
        k += PANEL;
      }
      s0.add(s1).add(s2.add(s3)).intoArray(out, r);
    }
  }

  /// `o[r] += Σ_{j < k} p[r][j] · v[j]` for `n` columns; rows of o are `ldo` apart, a multiple of
  /// L.
  static void weighted(
      int n, int k, float[] p, int po, float[] v, int vo, int ldv, float[] o, int oo, int ldo) {
    int c = 0;
    for (; c + 2 * L <= n; c += 2 * L) {
      if (TALL) {
        FusedKernels12.weighted2(k, p, po, v, vo + c, ldv, o, oo + c, ldo);
      } else {
        FusedKernels5.weighted2(k, p, po, v, vo + c, ldv, o, oo + c, ldo);
      }
    }
    int rest = n - c;
    if (rest > L) {
      if (TALL) {
        FusedKernels12.weighted2Tail(k, p, po, v, vo + c, ldv, o, oo + c, ldo, rest - L);
      } else {
        FusedKernels5.weighted2Tail(k, p, po, v, vo + c, ldv, o, oo + c, ldo, rest - L);
      }
    } else if (rest == L) {
      if (TALL) {
        FusedKernels12.weighted1(k, p, po, v, vo + c, ldv, o, oo + c, ldo);
      } else {
        FusedKernels5.weighted1(k, p, po, v, vo + c, ldv, o, oo + c, ldo);
      }
    } else if (rest > 0) {
      if (TALL) {
        FusedKernels12.weighted1Tail(k, p, po, v, vo + c, ldv, o, oo + c, ldo, rest);
      } else {
        FusedKernels5.weighted1Tail(k, p, po, v, vo + c, ldv, o, oo + c, ldo, rest);
      }
    }
  }

  /// `o[r] += Σ_{i < k} p[i][r] · b[i]` for `n` columns: a product with a score tile's transpose.
  static void transposed(
      int n, int k, float[] p, int po, float[] b, int bo, int ldb, float[] o, int oo, int ldo) {
    int c = 0;
    for (; c + 2 * L <= n; c += 2 * L) {
      if (TALL) {
        FusedKernels12.transposed2(k, p, po, b, bo + c, ldb, o, oo + c, ldo);
      } else {
        FusedKernels5.transposed2(k, p, po, b, bo + c, ldb, o, oo + c, ldo);
      }
    }
    int rest = n - c;
    if (rest > L) {
      if (TALL) {
        FusedKernels12.transposed2Tail(k, p, po, b, bo + c, ldb, o, oo + c, ldo, rest - L);
      } else {
        FusedKernels5.transposed2Tail(k, p, po, b, bo + c, ldb, o, oo + c, ldo, rest - L);
      }
    } else if (rest == L) {
      if (TALL) {
        FusedKernels12.transposed1(k, p, po, b, bo + c, ldb, o, oo + c, ldo);
      } else {
        FusedKernels5.transposed1(k, p, po, b, bo + c, ldb, o, oo + c, ldo);
      }
    } else if (rest > 0) {
      if (TALL) {
        FusedKernels12.transposed1Tail(k, p, po, b, bo + c, ldb, o, oo + c, ldo, rest);
      } else {
        FusedKernels5.transposed1Tail(k, p, po, b, bo + c, ldb, o, oo + c, ldo, rest);
      }
    }
  }
}
