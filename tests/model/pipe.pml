/* cyto -- pipe.pml: two turns in flight: how many slots and commit records?
 *
 * A worker may begin turn t+1 before it has stored commit = t (at most FLIGHT
 * turns not committed).  Commits go in order.  A turn may write the one cell;
 * it takes the slot with the oldest tag that is neither the newest committed
 * one nor one in flight.  A kill can strike anywhere; a turn in flight may also
 * have to abort (lane full), and then all later ones go with it.
 * Checked: after a kill the commit record of turn `commit' and the cell's
 * newest committed value are there; a reader that began at commit k finds its
 * value whole as long as commit <= k+SLOTS-FLIGHT-1.
 *
 * Run:  spin -a -DFLIGHT=2 -DSLOTS=3 -DRECS=3 pipe.pml
 *       gcc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c && ./pan -m1000000
 * Holds: FLIGHT=1 SLOTS=2 RECS=2;  FLIGHT=2 SLOTS=3 RECS=3 (K+1 of both)
 * Holes: FLIGHT=2 SLOTS=3 RECS=2;  FLIGHT=2 SLOTS=2 RECS=3;
 *        -DNOCASCADE turn t aborts and t+1, made on top of it, does not
 */
#ifndef FLIGHT
#define FLIGHT 2
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef RECS
#define RECS 3
#endif
#ifndef TURNS
#define TURNS 5
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define INV 255

byte tag[SLOTS], val[SLOTS], rec[RECS], recv[RECS], commit, kills, fin;
byte hv[TURNS+1];                    /* ghost: the cell's committed value by turn  */

#define S(x) atomic { if :: x :: kills < KILLS -> kills++; goto dead fi }

proctype W() {
  byte t, s, i, best, n, cv;         /* t: last turn begun; cv: value as of turn t */
  byte v[TURNS+1];                   /* private: value after each turn in flight   */
  bool w;
start:
  atomic {                           /* restart: must find a whole committed state */
    i = 0; best = INV;
    do :: i < SLOTS -> if :: tag[i] <= commit && (best == INV || tag[i] > tag[best]) -> best = i
                          :: else fi; i++ :: else -> break od;
    assert(best != INV && val[best] == hv[commit]);
    assert(commit == 0 || (rec[commit%RECS] == commit && recv[commit%RECS] == hv[commit]));
    t = commit; cv = val[best]; v[t] = cv; i = 0; best = 0 }
  do
  :: t < TURNS && t - commit < FLIGHT ->           /* begin another turn */
     t++;
     if :: w = 1; cv = t*10 + kills :: w = 0 fi;   /* a new value, or none */
     v[t] = cv;
     if
     :: w ->
        atomic { i = 0; best = INV; n = INV;
          do :: i < SLOTS -> if :: tag[i] <= commit && (n == INV || tag[i] > tag[n]) -> n = i
                                :: else fi; i++ :: else -> break od;
          i = 0;                                   /* n: the newest committed one */
          do :: i < SLOTS ->
                if :: i != n && (tag[i] == INV || tag[i] <= commit) &&
                      (best == INV || tag[i] == INV ||
                       (tag[best] != INV && tag[i] < tag[best])) -> best = i
                   :: else fi; i++
             :: else -> break od;
          if :: best == INV -> best = t%SLOTS :: else fi;     /* too few slots */
          s = best; i = 0; best = 0; n = 0 }
        S(tag[s] = t); S(val[s] = cv)
     :: else
     fi; w = 0; s = 0;
     S(recv[t%RECS] = cv); S(rec[t%RECS] = t)
  :: t > commit -> S(commit = commit+1; hv[commit] = v[commit])
  :: t > commit && kills < KILLS ->                /* the oldest in flight aborts */
     kills++;
#ifdef NOCASCADE
     if :: t > commit+1 -> v[commit+1] = v[commit]; i = 0;   /* undo t only */
           do :: i < SLOTS -> if :: tag[i] == commit+1 -> tag[i] = INV :: else fi; i++
              :: else -> break od; i = 0
        :: else -> goto dead fi
#else
     goto dead
#endif
  :: commit == TURNS -> break
  od;
  goto end;
dead:                                              /* recovery: cells of turns > commit */
  atomic { i = 0; t = 0; s = 0; cv = 0; w = 0; n = 0; best = 0;
    do :: i <= TURNS -> v[i] = 0; i++ :: else -> break od; i = 0 }
  do :: i < SLOTS -> if :: tag[i] != INV && tag[i] > commit -> S(tag[i] = INV) :: else fi; i++
     :: else -> break od;
  goto start;
end: fin = 1
}

proctype Reader() {
  byte k, i, a, b, s, x;
again:
  k = commit; i = 0; b = INV;
  do :: i < SLOTS -> atomic { a = tag[i];
          if :: a <= k && (b == INV || a > b) -> b = a; s = i :: else fi; i++ }
     :: else -> break od;
  if :: b == INV -> goto check :: else fi;
  x = val[s];
  if :: tag[s] != b -> goto check :: else fi;
  assert(x == hv[k]);
  goto next;
check: assert(commit > k+SLOTS-FLIGHT-1);          /* fails only if lapped */
next: atomic { k = 0; a = 0; b = 0; s = 0; x = 0; i = 0 }
  if :: !fin -> goto again :: fin fi
}
init { atomic { byte i = 1; do :: i < SLOTS -> tag[i] = INV; i++ :: else -> break od;
  run W(); run Reader() } }
