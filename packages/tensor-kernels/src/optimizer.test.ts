import { describe, expect, test } from "vitest";
import { implementations, relativeError, seededNumbers, seededVector } from "./implementations.test.suite.ts";
import { noDecay } from "./kernels.ts";
import { makeOptimizer as makeWith, type OptimizerOptions } from "./make-optimizer.ts";
import type { Optimizer, UpdateArguments } from "./optimizer.ts";

describe.each(implementations)("%s kernels", (_, arrays) => {
  const makeOptimizer = (option: OptimizerOptions) => makeWith(option, arrays.kernels);

  /** Begun with what memory may hold, so that a slot that is not written shows. */
  function initialSlots(optimizer: Optimizer, length: number): Float32Array[] {
    const slots = optimizer.slotNames.map(() => arrays.floats(new Float32Array(length).fill(Number.NaN)));
    optimizer.initInPlace(slots);
    return slots;
  }

  /** The weights after each of the given gradients. */
  function trajectory(
    optimizer: Optimizer,
    start: readonly number[],
    gradients: readonly (readonly number[])[],
    learningRate: number,
    weightDecay = 0,
    others: Partial<UpdateArguments> = {},
  ): number[][] {
    const weights = arrays.floats(start);
    const slots = initialSlots(optimizer, weights.length);
    return gradients.map((values, i) => {
      const gradient = arrays.floats(values);
      const decay = { l1: 0, l2: weightDecay };
      optimizer.updateInPlace({ weights, gradient, slots, learningRate, step: i + 1, decay, ...others });
      return Array.from(weights);
    });
  }

  /** Compares to within 1e-6 of the size of the expected number. */
  function expectRelativelyClose(found: ArrayLike<number>, expected: ArrayLike<number>): void {
    expect(found.length).toBe(expected.length);
    for (let i = 0; i < expected.length; i++) {
      const want = expected[i] as number;
      expect(relativeError(found[i] as number, want), `element ${i}: ${found[i]} for ${want}`).toBeLessThan(
        1e-6,
      );
    }
  }

  /** What holds for every optimizer. */
  function describeOptimizer(title: string, slotCount: number, make: () => Optimizer): void {
    describe(`${title}, as any optimizer,`, () => {
      test("has one array of state per slot name, as long as the weights, finite", () => {
        const optimizer = make();
        expect(optimizer.slotNames).toHaveLength(slotCount);
        expect(new Set(optimizer.slotNames).size).toBe(slotCount);
        for (const length of [0, 1, 37]) {
          const slots = initialSlots(optimizer, length);
          expect(slots.map((slot) => slot.length)).toEqual(new Array(slotCount).fill(length));
          for (const slot of slots) expect(slot.every((value) => Number.isFinite(value))).toBe(true);
        }
      });

      test("leaves the weights alone on a gradient of 0 with fresh state", () => {
        const weights = arrays.floats(seededVector(33, seededNumbers(1)));
        const before = weights.slice();
        const optimizer = make();
        const slots = initialSlots(optimizer, 33);
        optimizer.updateInPlace({
          weights,
          gradient: arrays.floats(new Float32Array(33)),
          slots,
          learningRate: 0.1,
          step: 1,
          decay: noDecay,
        });
        expect(weights).toEqual(before);
      });

      test("leaves the weights alone at a learning rate of 0, whatever the state", () => {
        const random = seededNumbers(2);
        const weights = arrays.floats(seededVector(33, random));
        const before = weights.slice();
        const optimizer = make();
        const slots = initialSlots(optimizer, 33);
        for (let step = 1; step <= 3; step++) {
          optimizer.updateInPlace({
            weights,
            gradient: arrays.floats(seededVector(33, random)),
            slots,
            learningRate: 0,
            step,
            decay: noDecay,
          });
        }
        expect(weights).toEqual(before);
      });

      test("moves every weight against its first gradient", () => {
        const random = seededNumbers(3);
        const weights = arrays.floats(seededVector(33, random));
        const before = weights.slice();
        const gradient = arrays.floats(seededVector(33, random));
        const signs = Array.from(gradient, Math.sign);
        const optimizer = make();
        optimizer.updateInPlace({
          weights,
          gradient,
          slots: initialSlots(optimizer, 33),
          learningRate: 0.1,
          step: 1,
          decay: noDecay,
        });
        expect(Array.from(weights, (w, i) => Math.sign((before[i] as number) - w))).toEqual(signs);
      });

      test.each([0, 1, 2, 3, 5, 17, 63])("treats each of %i elements as if it were alone", (length) => {
        const random = seededNumbers(4);
        const start = Array.from(seededVector(length, random));
        const gradients = [1, 2, 3].map(() => Array.from(seededVector(length, random)));
        const together = trajectory(make(), start, gradients, 0.1);
        const alone = start.map((w, i) =>
          trajectory(
            make(),
            [w],
            gradients.map((g) => [g[i] as number]),
            0.1,
          ),
        );
        for (const [step, weights] of together.entries()) {
          expect(weights).toEqual(alone.map((path) => path[step]?.[0]));
        }
        expect(together).toHaveLength(3);
      });

      test("has no state of its own: two slices that take turns do not disturb each other", () => {
        const gradients = [[0.5], [-0.25], [0.75]];
        const expected = trajectory(make(), [1], gradients, 0.1).at(-1);
        const shared = make();
        const slices = [0, 1].map(() => ({ weights: arrays.floats([1]), slots: initialSlots(shared, 1) }));
        for (const [i, gradient] of gradients.entries()) {
          for (const { weights, slots } of slices) {
            const step = i + 1;
            shared.updateInPlace({
              weights,
              gradient: arrays.floats(gradient),
              slots,
              learningRate: 0.1,
              step,
              decay: noDecay,
            });
          }
        }
        expect(slices.map(({ weights }) => Array.from(weights))).toEqual([expected, expected]);
      });
    });
  }

  const options = {
    sgd: { name: "sgd" },
    momentum: { name: "momentum", momentum: 0.9 },
    nesterov: { name: "nesterov", momentum: 0.9 },
    adagrad: { name: "adagrad", initialAccumulator: 0, epsilon: 1e-10 },
    adagradStarted: { name: "adagrad", initialAccumulator: 0.1, epsilon: 1e-10 },
    adam: { name: "adam", beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    rmsprop: { name: "rmsprop", alpha: 0.9, epsilon: 1e-8, momentum: 0 },
    rmspropMoving: { name: "rmsprop", alpha: 0.9, epsilon: 1e-8, momentum: 0.5 },
    adamw: { name: "adamw", beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    lars: { name: "lars", momentum: 0.9, trust: 0.001 },
    adamWithoutFirstMoment: { name: "adam", beta1: 0, beta2: 0.999, epsilon: 1e-8 },
  } as const satisfies Record<string, OptimizerOptions>;

  describeOptimizer("SGD", 0, () => makeOptimizer(options.sgd));
  describeOptimizer("momentum", 1, () => makeOptimizer(options.momentum));
  describeOptimizer("Nesterov", 1, () => makeOptimizer(options.nesterov));
  describeOptimizer("Adagrad", 1, () => makeOptimizer(options.adagrad));
  describeOptimizer("Adagrad from 0.1", 1, () => makeOptimizer(options.adagradStarted));
  describeOptimizer("Adam", 2, () => makeOptimizer(options.adam));
  describeOptimizer("RMSProp", 1, () => makeOptimizer(options.rmsprop));
  describeOptimizer("RMSProp with momentum", 2, () => makeOptimizer(options.rmspropMoving));
  describeOptimizer("AdamW", 2, () => makeOptimizer(options.adamw));
  describeOptimizer("LARS without norms", 1, () => makeOptimizer(options.lars));
  describeOptimizer("Adam with beta1 0", 2, () => makeOptimizer(options.adamWithoutFirstMoment));

  test("an optimizer is called by the name in the job file", () => {
    for (const option of Object.values(options)) expect(makeOptimizer(option).name).toBe(option.name);
  });

  describe("numbers worked out by hand, learning rate 0.1, one weight that begins at 1", () => {
    const path = (option: OptimizerOptions, gradients: readonly number[]) =>
      trajectory(
        makeOptimizer(option),
        [1],
        gradients.map((g) => [g]),
        0.1,
      ).map((weights) => weights[0] as number);

    test("SGD", () => {
      // w - 0.1 g: 1 - 0.05 = 0.95; 0.95 - 0.2 = 0.75; 0.75 + 0.1 = 0.85.
      expectRelativelyClose(path({ name: "sgd" }, [0.5, 2, -1]), [0.95, 0.75, 0.85]);
    });

    test("momentum 0.9", () => {
      // v = 1, w = 1 - 0.1 = 0.9; v = 0.9 + 0.5 = 1.4, w = 0.9 - 0.14 = 0.76;
      // v = 1.26 - 1 = 0.26, w = 0.76 - 0.026 = 0.734.
      expectRelativelyClose(path({ name: "momentum", momentum: 0.9 }, [1, 0.5, -1]), [0.9, 0.76, 0.734]);
    });

    test("Nesterov 0.9", () => {
      // v = 1, w = 1 - 0.1 (1 + 0.9) = 0.81; v = 1.4, w = 0.81 - 0.1 (0.5 + 1.26) = 0.634;
      // v = 0.26, w = 0.634 - 0.1 (-1 + 0.234) = 0.7106.
      expectRelativelyClose(path({ name: "nesterov", momentum: 0.9 }, [1, 0.5, -1]), [0.81, 0.634, 0.7106]);
    });

    test("RMSProp, alpha 0.75", () => {
      // s = 0.25 * 16 = 4, w = 1 - 0.1 * 4/2 = 0.8; s = 3 + 0.25 * 4 = 4, w = 0.8 - 0.1 * 2/2 = 0.7.
      const plain = { name: "rmsprop", alpha: 0.75, epsilon: 0, momentum: 0 } as const;
      expectRelativelyClose(path(plain, [4, 2]), [0.8, 0.7]);
      // Epsilon 2 outside the root: 1 - 0.1 * 4/4 = 0.9. Momentum 0.5: v = 2, then 1 + 1 = 2: 0.8, 0.6.
      expectRelativelyClose(path({ ...plain, epsilon: 2 }, [4]), [0.9]);
      expectRelativelyClose(path({ ...plain, momentum: 0.5 }, [4, 2]), [0.8, 0.6]);
    });

    test("LARS 0.5: the local rate is trust |w| / (|g| + l2 |w|), inside the velocity", () => {
      // |w| = 4, |g| = 2, l2 = 0.5, trust 0.1: 0.4 / 4 = 0.1. g' = 2 + 0.5 = 2.5; v = 0.1 * 0.1 * 2.5 = 0.025,
      // w = 0.975; g' = 0 + 0.4875, v = 0.0125 + 0.004875 = 0.017375, w = 0.957625.
      const lars = makeOptimizer({ name: "lars", momentum: 0.5, trust: 0.1 });
      const norms = { weight: 4, gradient: 2 };
      expectRelativelyClose(trajectory(lars, [1], [[2], [0]], 0.1, 0.5, { norms }).flat(), [0.975, 0.957625]);
      // A norm of 0 says nothing: local rate 1. v = 0.1 * 2 = 0.2.
      const none = { weight: 0, gradient: 2 };
      expectRelativelyClose(trajectory(lars, [1], [[2]], 0.1, 0, { norms: none }).flat(), [0.8]);
    });

    test("L1 decay pulls by the sign, and leaves 0 alone", () => {
      // 2 - 0.1 * 0.5 = 1.95; -2 + 0.05; 0.
      const decay = { l1: 0.5, l2: 0 };
      const still = [[0, 0, 0]];
      const found = trajectory(makeOptimizer(options.sgd), [2, -2, 0], still, 0.1, 0, { decay })[0];
      expect(found?.map((w) => Math.round(w * 1e6) / 1e6)).toEqual([1.95, -1.95, 0]);
      const decoupled = trajectory(makeOptimizer(options.adamw), [2, -2, 0], still, 0.1, 0, { decay })[0];
      expect(decoupled).toEqual(found);
    });

    test("AdamW's decay does not enter the moments", () => {
      // g = 2: step 0.1; decay 0.1 * 0.5 * 1 = 0.05: w = 0.85. With g = 0 the moments stay: w = 0.95.
      const adamw = makeOptimizer(options.adamw);
      expectRelativelyClose(trajectory(adamw, [1], [[2]], 0.1, 0.5).flat(), [0.85]);
      expectRelativelyClose(trajectory(adamw, [1], [[0]], 0.1, 0.5).flat(), [0.95]);
    });

    test("Adagrad from 0", () => {
      // a = 9, w = 1 - 0.1 * 3/3 = 0.9; a = 25, w = 0.9 - 0.1 * 4/5 = 0.82;
      // a = 169, w = 0.82 - 0.1 * 12/13 = 0.7276923...
      const expected = [0.9, 0.82, 0.82 - 1.2 / 13];
      expectRelativelyClose(
        path({ name: "adagrad", initialAccumulator: 0, epsilon: 1e-10 }, [3, 4, 12]),
        expected,
      );
    });

    test("Adagrad from 16, and with an epsilon that is felt", () => {
      // a = 16 + 9 = 25, w = 1 - 0.1 * 3/5 = 0.94.
      expectRelativelyClose(path({ name: "adagrad", initialAccumulator: 16, epsilon: 1e-10 }, [3]), [0.94]);
      // a = 9, w = 1 - 0.1 * 3/(3 + 1) = 0.925: epsilon stands outside the root.
      expectRelativelyClose(path({ name: "adagrad", initialAccumulator: 0, epsilon: 1 }, [3]), [0.925]);
    });

    test("Adam with beta1 0.9 and beta2 0.99", () => {
      // t = 1, g = 1: m = 0.1, v = 0.01; corrected by 0.1 and 0.01: 1 / 1; w = 0.9.
      // t = 2, g = 1: m = 0.19, v = 0.0199; corrected by 1 - 0.81 and 1 - 0.9801: 1 / 1; w = 0.8.
      // t = 3, g = -2: m = 0.171 - 0.2 = -0.029, corrected by 1 - 0.729 = 0.271: -0.1070111;
      //   v = 0.019701 + 0.04 = 0.059701, corrected by 1 - 0.970299 = 0.029701: 2.0100670, root 1.4177683;
      //   w = 0.8 + 0.1 * 0.1070111 / 1.4177683 = 0.8075479.
      const found = path({ name: "adam", beta1: 0.9, beta2: 0.99, epsilon: 1e-10 }, [1, 1, -2]);
      expectRelativelyClose(found, [
        0.9,
        0.8,
        0.8 + (0.1 * (0.029 / 0.271)) / Math.sqrt(0.059701 / 0.029701),
      ]);
      expect(found[2]).toBeCloseTo(0.8075479, 6);
    });

    test("Adam's epsilon stands outside the root, after the correction", () => {
      // t = 1, g = 2: corrected 2 and 4; w = 1 - 0.1 * 2 / (2 + 2) = 0.95.
      expectRelativelyClose(path({ name: "adam", beta1: 0.9, beta2: 0.99, epsilon: 2 }, [2]), [0.95]);
    });
  });

  describe("numbers of torch.optim (PyTorch 2.13)", () => {
    // w = [1, -2, 0.5], lr 0.1, float32, the three gradients below set as w.grad before each step():
    //   SGD(lr=0.1, momentum=0.9[, nesterov=True | weight_decay=0.01]), Adagrad(lr=0.1[,
    //   initial_accumulator_value=0.1], eps=1e-10), Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-8[, weight_decay=0.01]),
    //   RMSprop(lr=0.1, alpha=0.9, eps=1e-8[, momentum=0.5]), AdamW(as Adam).
    const start = [1, -2, 0.5];
    const gradients = [
      [0.1, -0.2, 0.3],
      [0.4, 0.5, -0.6],
      [-0.7, 0.8, 0.9],
    ];
    const cases: [string, OptimizerOptions, number, number[][]][] = [
      [
        "momentum",
        options.momentum,
        0,
        [
          [0.9900000095367432, -1.9800000190734863, 0.4699999988079071],
          [0.9409999847412109, -2.01200008392334, 0.503000020980835],
          [0.9668999910354614, -2.120800018310547, 0.44270002841949463],
        ],
      ],
      [
        "nesterov",
        options.nesterov,
        0,
        [
          [0.9810000061988831, -1.9620000123977661, 0.4429999887943268],
          [0.8968999981880188, -2.040800094604492, 0.5327000021934509],
          [0.9902099967002869, -2.2187201976776123, 0.38842999935150146],
        ],
      ],
      [
        "momentum with weight decay 0.01",
        options.momentum,
        0.01,
        [
          [0.9890000224113464, -1.9780000448226929, 0.46950000524520874],
          [0.9381110072135925, -2.0062220096588135, 0.501580536365509],
          [0.9613727927207947, -2.1096155643463135, 0.43995141983032227],
        ],
      ],
      [
        "Adagrad",
        options.adagrad,
        0,
        [
          [0.8999999761581421, -1.899999976158142, 0.4000000059604645],
          [0.8029857277870178, -1.9928476810455322, 0.48944273591041565],
          [0.8891497850418091, -2.075803756713867, 0.40926435589790344],
        ],
      ],
      [
        "Adagrad from 0.1",
        options.adagradStarted,
        0,
        [
          [0.9698488712310791, -1.9465477466583252, 0.4311752915382385],
          [0.8928688168525696, -2.026611804962158, 0.5120792984962463],
          [0.9731643199920654, -2.105438232421875, 0.43490493297576904],
        ],
      ],
      [
        "Adam",
        options.adam,
        0,
        [
          [0.8999999761581421, -1.899999976158142, 0.4000000059604645],
          [0.8115623593330383, -1.9442214965820312, 0.4366103708744049],
          [0.831930935382843, -2.016305446624756, 0.40228626132011414],
        ],
      ],
      [
        "RMSProp",
        options.rmsprop,
        0,
        [
          [0.6837723255157471, -1.683772325515747, 0.1837722659111023],
          [0.37608006596565247, -1.9794285297393799, 0.4694865643978119],
          [0.6523265242576599, -2.24648118019104, 0.21042269468307495],
        ],
      ],
      [
        "RMSProp with momentum 0.5",
        options.rmspropMoving,
        0,
        [
          [0.6837723255157471, -1.683772325515747, 0.1837722510099411],
          [0.2179662585258484, -1.8213145732879639, 0.31137266755104065],
          [0.2613096535205841, -2.1571383476257324, 0.11610899120569229],
        ],
      ],
      [
        "AdamW with weight decay 0.01",
        options.adamw,
        0.01,
        [
          [0.8989999890327454, -1.8980000019073486, 0.3995000123977661],
          [0.8096633553504944, -1.9403235912322998, 0.4357108771800995],
          [0.8292222619056702, -2.010467290878296, 0.4009510576725006],
        ],
      ],
      [
        "Adam with weight decay 0.01",
        options.adam,
        0.01,
        [
          [0.9000000357627869, -1.899999976158142, 0.4000000059604645],
          [0.8107429146766663, -1.9398183822631836, 0.43573740124702454],
          [0.8292267322540283, -2.0099713802337646, 0.4008142948150635],
        ],
      ],
    ];

    test.each(cases)("%s", (_, option, weightDecay, expected) => {
      const found = trajectory(makeOptimizer(option), start, gradients, 0.1, weightDecay);
      for (const [step, weights] of expected.entries())
        expectRelativelyClose(found[step] as number[], weights);
    });
  });

  describe("identities", () => {
    const random = seededNumbers(5);
    const start = Array.from(seededVector(31, random));
    const gradients = Array.from({ length: 20 }, () => Array.from(seededVector(31, random)));
    const plain = trajectory(makeOptimizer({ name: "sgd" }), start, gradients, 0.05);

    test("momentum 0 is SGD, bit for bit", () => {
      expect(trajectory(makeOptimizer({ name: "momentum", momentum: 0 }), start, gradients, 0.05)).toEqual(
        plain,
      );
    });

    test("Nesterov 0 is SGD, bit for bit", () => {
      expect(trajectory(makeOptimizer({ name: "nesterov", momentum: 0 }), start, gradients, 0.05)).toEqual(
        plain,
      );
    });

    test("AdamW without decay is Adam, bit for bit", () => {
      expect(trajectory(makeOptimizer(options.adamw), start, gradients, 0.05)).toEqual(
        trajectory(makeOptimizer(options.adam), start, gradients, 0.05),
      );
    });

    test("a momentum given with the update replaces the optimizer's", () => {
      for (const [option, other] of [
        [options.momentum, { ...options.momentum, momentum: 0.4 }],
        [options.nesterov, { ...options.nesterov, momentum: 0.4 }],
        [options.lars, { ...options.lars, momentum: 0.4 }],
        [options.rmspropMoving, { ...options.rmspropMoving, momentum: 0.4 }],
        [options.adam, { ...options.adam, beta1: 0.4 }],
        [options.adamw, { ...options.adamw, beta1: 0.4 }],
      ] as const) {
        const replaced = trajectory(makeOptimizer(option), start, gradients, 0.05, 0, { momentum: 0.4 });
        expect(replaced).toEqual(trajectory(makeOptimizer(other), start, gradients, 0.05));
        expect(replaced).not.toEqual(trajectory(makeOptimizer(option), start, gradients, 0.05));
      }
    });

    test("LARS with a trust that cancels the norms is momentum", () => {
      // trust |w| / (|g| + l2 |w|) = 1 for |w| = 4, |g| = 6, l2 = 0.5, trust = 2.
      const lars = makeOptimizer({ name: "lars", momentum: 0.9, trust: 2 });
      const norms = { weight: 4, gradient: 6 };
      const found = trajectory(lars, start, gradients, 0.05, 0.5, { norms });
      const expected = trajectory(makeOptimizer(options.momentum), start, gradients, 0.05, 0.5);
      for (const [step, weights] of found.entries()) {
        for (const [i, w] of weights.entries()) expect(w).toBeCloseTo(expected[step]?.[i] as number, 5);
      }
    });

    test("runs of a slice, each with its decay, are updated as if they were slices", () => {
      const weights = arrays.floats(start);
      const slots = initialSlots(makeOptimizer(options.momentum), 31);
      const other = { l1: 0.1, l2: 0.01 };
      for (const [i, values] of gradients.entries()) {
        const gradient = arrays.floats(values);
        for (const [begin, end, decay] of [
          [0, 13, noDecay],
          [13, 31, other],
        ] as const) {
          makeOptimizer(options.momentum).updateInPlace({
            weights: weights.subarray(begin, end),
            gradient: gradient.subarray(begin, end),
            slots: slots.map((slot) => slot.subarray(begin, end)),
            learningRate: 0.05,
            step: i + 1,
            decay,
          });
        }
      }
      const part = (begin: number, end: number, decay: typeof other) =>
        trajectory(
          makeOptimizer(options.momentum),
          start.slice(begin, end),
          gradients.map((g) => g.slice(begin, end)),
          0.05,
          0,
          { decay },
        ).at(-1);
      expect(Array.from(weights)).toEqual([...(part(0, 13, noDecay) ?? []), ...(part(13, 31, other) ?? [])]);
    });

    test("Adam's first step is the learning rate against the sign of the gradient, whatever its size", () => {
      // Corrected moments are g and g^2, so the step is eta g / (|g| + epsilon).
      for (const g of [1e-3, -0.5, 7, -4000]) {
        const [weights] = trajectory(makeOptimizer(options.adam), [0], [[g]], 0.01);
        expect(weights?.[0]).toBeCloseTo(-0.01 * Math.sign(g), 6);
      }
    });

    test("momentum with a constant gradient approaches steps of eta g / (1 - mu)", () => {
      const constant = new Array<number[]>(300).fill([0.5]);
      const path = trajectory(makeOptimizer(options.momentum), [0], constant, 0.01);
      const lastStep = (path[298]?.[0] as number) - (path[299]?.[0] as number);
      expect(lastStep).toBeCloseTo((0.01 * 0.5) / (1 - 0.9), 5);
    });

    test("Adagrad's steps with a constant gradient shrink as 1 / sqrt(t)", () => {
      const path = trajectory(makeOptimizer(options.adagrad), [0], new Array<number[]>(16).fill([0.5]), 1);
      const step = (t: number) => (path[t - 2]?.[0] ?? 0) - (path[t - 1]?.[0] as number);
      expect(step(4)).toBeCloseTo(step(1) / 2, 5);
      expect(step(16)).toBeCloseTo(step(1) / 4, 5);
    });
  });

  describe("50 steps agree with the published formula in float64 to 1e-6", () => {
    const eta = 0.01;
    const elements = 25;

    /** One weight's path by a formula that keeps its own state: g and t in, step out. */
    type Formula = () => (g: number, t: number) => number;
    const formulas: [string, OptimizerOptions, number, Formula][] = [
      ["SGD", options.sgd, 0, () => (g) => eta * g],
      ["SGD with weight decay", options.sgd, 0.02, () => (g) => eta * g],
      [
        "momentum",
        options.momentum,
        0,
        () => {
          let v = 0;
          return (g) => {
            v = 0.9 * v + g;
            return eta * v;
          };
        },
      ],
      [
        "momentum with weight decay",
        options.momentum,
        0.02,
        () => {
          let v = 0;
          return (g) => {
            v = 0.9 * v + g;
            return eta * v;
          };
        },
      ],
      [
        "Nesterov",
        options.nesterov,
        0,
        () => {
          let v = 0;
          return (g) => {
            v = 0.9 * v + g;
            return eta * (g + 0.9 * v);
          };
        },
      ],
      [
        "Adagrad",
        options.adagrad,
        0,
        () => {
          let sumOfSquares = 0;
          return (g) => {
            sumOfSquares += g ** 2;
            return (eta * g) / (Math.sqrt(sumOfSquares) + 1e-10);
          };
        },
      ],
      [
        "RMSProp with momentum and weight decay",
        options.rmspropMoving,
        0.02,
        () => {
          let [s, v] = [0, 0];
          return (g) => {
            s = 0.9 * s + 0.1 * g ** 2;
            v = 0.5 * v + g / (Math.sqrt(s) + 1e-8);
            return eta * v;
          };
        },
      ],
      [
        "Adam",
        options.adam,
        0,
        () => {
          // Not by recursion: the moments as sums over all gradients so far (Kingma and Ba 2015, equation 1).
          const all: number[] = [];
          return (g, t) => {
            all.push(g);
            let m = 0;
            let v = 0;
            for (const [i, past] of all.entries()) {
              m += 0.1 * 0.9 ** (t - 1 - i) * past;
              v += 0.001 * 0.999 ** (t - 1 - i) * past ** 2;
            }
            return (eta * (m / (1 - 0.9 ** t))) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-8);
          };
        },
      ],
    ];

    test.each(formulas)("%s", (_, option, weightDecay, formula) => {
      const random = seededNumbers(6);
      // Between 4 and 6, so that no weight comes near 0, where a relative error says nothing.
      const start = Array.from({ length: elements }, () => Math.fround(5 + random()));
      const gradients = Array.from({ length: 50 }, () => Array.from(seededVector(elements, random)));
      const expected = start.map((begin, i) => {
        const stepOf = formula();
        let w = begin;
        for (const [k, gradient] of gradients.entries()) {
          w -= stepOf((gradient[i] as number) + weightDecay * w, k + 1);
        }
        return w;
      });
      const found = trajectory(makeOptimizer(option), start, gradients, eta, weightDecay);
      expectRelativelyClose(found.at(-1) as number[], expected);
    });
  });
});
